"""Find misspelled names in a config before anything is built.

MMEngine ignores an unknown top-level name. An unknown argument of a part gives a long traceback, sometimes only after
training has begun.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from mmengine import registry as registries
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner
from torch.utils.data import DataLoader

import mmvidmae.registry  # noqa: F401 (applies the bridges before a toolbox is imported)

CONFIG_KEYS = {
    *inspect.signature(Runner.__init__).parameters,
    'activation_checkpointing',
    'compile',
    'custom_imports',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'strategy',
    'sync_bn',
} - {'self', 'cfg'}
"""Top-level keys that MMEngine reads, whether a config has them or not."""

_CUTOFF = 0.85  # one of 2,800 OpenMMLab configs has a variable this close to a known name, and it is a mistake

_LOADER = {*inspect.signature(DataLoader).parameters, 'num_batch_per_epoch', 'disable_subprocess_warning'}
_FIXED = dict(
    env_cfg={'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    randomness={*inspect.signature(Runner.set_randomness).parameters} - {'self'},
    auto_scale_lr={'base_batch_size', 'enable'},
)
"""Arguments of dicts that are not built from a registry."""

_CHILDREN = dict(
    backbone=registries.MODELS,
    batch_sampler=registries.DATA_SAMPLERS,
    data_preprocessor=registries.MODELS,
    dataset=registries.DATASETS,
    datasets=registries.DATASETS,
    metric=registries.METRICS,
    metrics=registries.METRICS,
    optimizer=registries.OPTIMIZERS,
    sampler=registries.DATA_SAMPLERS,
    vis_backends=registries.VISBACKENDS,
)
"""Registries of nested parts by key. Parts of other keys use the registry of the enclosing part; pipelines are
transforms."""

_DIRECT = (
    registries.DATASETS,
    registries.DATA_SAMPLERS,
    registries.HOOKS,
    registries.METRICS,
    registries.TRANSFORMS,
)
"""Registries whose parts are built with exactly the arguments of their dict."""

_EXTRA = {
    registries.HOOKS: {'priority'},
    registries.LOOPS: {'by_epoch'},
    registries.OPTIM_WRAPPERS: {'constructor', 'paramwise_cfg'},
    registries.PARAM_SCHEDULERS: {'convert_to_iter_based'},
}
"""Keys that MMEngine removes from a dict before it builds the part."""


class ConfigError(ValueError):
    """A config has names that nothing reads. The message has a line for each, with its path and the likely name."""


def check_config(config: Config, parts: Iterable[str] | None = None, scope: str | None = None) -> None:
    """Check the names of a config: top-level names, types, and arguments of parts.

    - A top-level name of the user is an error if it is close to one that MMEngine reads, unless its value is used
      there.
    - An argument is an error if the class of the part does not take it.
    - Models, optimizers and classes with ``**kwargs`` of other packages may take arguments that the signature does not
      show. Their arguments are an error only if they are close to a known one. Models of other packages with
      ``**kwargs`` may have any argument.

    Args:
        config: Loaded config.
        parts: Names of the parts whose arguments are checked; by default all.
        scope: Scope of types without a prefix; by default the ``default_scope`` of the config.

    Raises:
        ConfigError: If there is a misspelled name.
    """
    scope = scope or config.get('default_scope') or 'mmengine'
    problems = [*_check_names(config), *_check_parts(config, parts, scope)]
    if problems:
        raise ConfigError('\n'.join(problems))


def _check_names(config: Config) -> Iterator[str]:
    for name, value in config.items():
        near = None if name in CONFIG_KEYS else closest(name, CONFIG_KEYS)
        if near and not name.startswith(f'{near}_') and not _is_used(value, config.get(near)):
            yield (
                f'{name}: nothing reads this name; did you mean {near}? (give a variable of your own a less similar '
                'name)'
            )


def _check_parts(config: Config, parts: Iterable[str] | None, scope: str) -> Iterator[str]:
    for name, part in config.items():
        if parts is not None and name not in parts:
            continue
        if name == 'model':
            yield from _check_part(part, name, registries.MODELS, scope)
        elif name in ('train_dataloader', 'val_dataloader', 'test_dataloader') and isinstance(part, dict):
            yield from _check_keys(part, name, 'the data loader', _LOADER, certain=True)
            for key in ('dataset', 'sampler', 'batch_sampler'):
                yield from _check_part(part.get(key), f'{name}.{key}', _CHILDREN[key], scope)
        elif name in ('val_evaluator', 'test_evaluator'):
            yield from _check_part(part, name, registries.METRICS, scope)
        elif name in ('default_hooks', 'custom_hooks'):
            yield from _check_part(part, name, registries.HOOKS, scope)
        elif name in ('train_cfg', 'val_cfg', 'test_cfg'):
            yield from _check_part(part, name, registries.LOOPS, scope, _loop(name, part))
        elif name == 'optim_wrapper':
            yield from _check_part(part, name, registries.OPTIM_WRAPPERS, scope, 'OptimWrapper')
        elif name == 'param_scheduler':
            yield from _check_part(part, name, registries.PARAM_SCHEDULERS, scope)
        elif name == 'visualizer':
            yield from _check_part(part, name, registries.VISUALIZERS, scope, 'Visualizer')
        elif name == 'log_processor':
            yield from _check_part(part, name, registries.LOG_PROCESSORS, scope, 'LogProcessor')
        elif name in _FIXED and isinstance(part, dict):
            yield from _check_keys(part, name, 'MMEngine', _FIXED[name], certain=False)


def _loop(name: str, part: Any) -> str:
    if name != 'train_cfg':
        return 'ValLoop' if name == 'val_cfg' else 'TestLoop'
    return 'EpochBasedTrainLoop' if isinstance(part, dict) and part.get('by_epoch', True) else 'IterBasedTrainLoop'


def _check_part(part: Any, path: str, registry: Registry, scope: str, default: Any = None) -> Iterator[str]:
    """Check a part and the parts nested in it.

    Args:
        part: Dict of a part, a list of them, or a dict of them. Anything else is skipped.
        path: Key of the part in the config.
        registry: Registry of its type.
        scope: Default scope of the types.
        default: Type of a part without ``type``.
    """
    if isinstance(part, list | tuple):
        for index, item in enumerate(part):
            yield from _check_part(item, f'{path}.{index}', registry, scope)
        return
    if not isinstance(part, dict):
        return
    scope = part.get('_scope_', scope)
    kind = part.get('type', default)
    cls = kind
    if isinstance(kind, str):
        cls, known = _find(kind, registry, scope)
        direct = registry in _DIRECT or path == 'model' or kind.startswith('mmvidmae.')
        if cls is None and direct and (near := closest(kind, known, 0.8)):
            yield f'{path}.type: there is no {registry.name} {kind}; did you mean {near}?'
    if callable(cls):
        accepted, is_open = arguments(cls)
        ours = (getattr(cls, '__module__', None) or '').partition('.')[0] == 'mmvidmae'
        if accepted and (ours or not (is_open and registry is registries.MODELS)):
            accepted |= {'type', '_scope_'} | _EXTRA.get(registry, set())
            certain = ours or (registry in _DIRECT and not is_open)
            owner = kind.rpartition('.')[2] if isinstance(kind, str) else getattr(cls, '__name__', str(kind))
            yield from _check_keys(part, path, owner, accepted, certain)
    recipe = getattr(cls, 'recipe', {})  # of our models: the types of their parts
    defaults = {key: value['type'] for key, value in recipe.items() if isinstance(value, dict)}
    for key, value in part.items():
        if key.endswith('_cfg') or key in ('collate_fn', 'type'):
            continue
        within = registries.TRANSFORMS if key.endswith('pipeline') else _CHILDREN.get(key, registry)
        yield from _check_part(value, f'{path}.{key}', within, scope, defaults.get(key))


def _check_keys(part: Mapping, path: str, owner: str, accepted: set[str], certain: bool) -> Iterator[str]:
    for key in part:
        if key in accepted:
            continue
        near = closest(key, accepted, 0.6 if certain else _CUTOFF)
        if near or certain:
            hint = f'did you mean {near}?' if near else f'it has {", ".join(sorted(accepted - {"type", "_scope_"}))}'
            yield f'{path}.{key}: {owner} has no argument {key}; {hint}'


def _find(kind: str, registry: Registry, scope: str) -> tuple[Any, set[str]]:
    """The registered object of a type or None, and the names of the registry as this config would write them."""
    try:
        with registry.switch_scope_and_registry(scope) as scoped:
            found = scoped.get(kind)
            prefix, _, _ = kind.rpartition('.')
            owner = registry.children.get(prefix) if prefix else scoped
            names = set() if owner is None else {*owner.module_dict, *getattr(owner, 'on_demand', ())}
    except Exception:  # a toolbox that cannot be imported: building the part reports it
        return None, set()
    return found, {f'{prefix}.{name}' if prefix else name for name in names}


def arguments(cls: Callable) -> tuple[set[str], bool]:
    """Names of the arguments of a class or function, and whether it takes ``**kwargs``.

    With ``**kwargs``, the arguments of the next base class and those in the attribute ``options`` of the class are
    included. The set is empty if the signature is unknown.
    """
    inits = [cls]
    if inspect.isclass(cls):
        inits = [vars(base)['__init__'] for base in inspect.getmro(cls) if '__init__' in vars(base)]
    names, is_open = set(getattr(cls, 'options', ())), False
    for init in inits:
        try:
            parameters = inspect.signature(init).parameters.values()
        except (TypeError, ValueError):
            return set(), True
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)} - {'self'}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
        is_open = True
    return names, is_open


def closest(name: str, names: Iterable[str], cutoff: float = _CUTOFF) -> str | None:
    """The most similar of some names, also one with the same letters in another order; None if there is none."""
    names = sorted(names)
    return next(
        iter(get_close_matches(name, names, 1, cutoff)),
        next((other for other in names if sorted(other) == sorted(name)), None),
    )


def _is_used(value: Any, within: Any) -> bool:
    """Whether a variable's value is used in a part: as a whole or, for a list or dict, item by item."""
    if _is_part_of(value, within):
        return True
    items = within.values() if isinstance(within, dict) else within if isinstance(within, list | tuple) else ()
    return any(_is_used(value, item) for item in items)


def _is_part_of(value: Any, whole: Any) -> bool:
    if not isinstance(value, dict | list | tuple | str | int | float) or not value:
        return False
    if isinstance(value, dict) and isinstance(whole, dict):
        return all(key in whole and whole[key] == item for key, item in value.items())
    if isinstance(value, list | tuple) and isinstance(whole, list | tuple):
        return all(item in whole for item in value)
    return value == whole
