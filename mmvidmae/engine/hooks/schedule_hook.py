"""Learning-rate and other schedules that follow the config, also in resumed runs."""

import ast
import warnings
from collections.abc import Iterator
from typing import Any

from mmengine.hooks import ParamSchedulerHook
from mmengine.optim import BaseOptimWrapper, LinearParamScheduler, OptimWrapperDict, _ParamScheduler
from mmengine.optim.scheduler.param_scheduler import INF
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmvidmae.datasets.samplers import PairSampler
from mmvidmae.engine.schedulers import LinearLR
from mmvidmae.registry import HOOKS

FEW_STEPS = 100
"""Runs of fewer steps are logged as too short."""

MOST_CHANGES = 40
"""Largest number of logged differences from a checkpoint's config."""

_LAUNCH_KEYS = ('work_dir', 'resume', 'load_from', 'launcher', 'log_level', 'model_wrapper_cfg')
"""Keys of a config that describe how a run is launched."""


class CannotResume(ValueError):
    """A checkpoint from which a run of this config cannot resume."""


@HOOKS.register_module()
class ScheduleHook(ParamSchedulerHook):
    """MMEngine's ``ParamSchedulerHook``, whose schedules are those of the config whatever a checkpoint says.

    **Resumed runs.** MMEngine restores the schedulers' state and the optimizer's settings from the checkpoint, so
    changes in the config have no effect. With more epochs, the learning rate stays where the old schedule ended. With
    another batch size, number of processes or list of clips, the schedule counts the iterations of the old epochs. This
    hook takes both from the config, at the epoch of the checkpoint (at its iteration in iteration-based runs). The
    optimizer keeps its moments. Differences from the checkpoint's config are logged.

    **Scaled rates.** With ``auto_scale_lr=dict(enable=True, base_batch_size=N)`` the learning rate of the config is for
    a total batch size of N (pairs in pre-training). The total batch size is processes x ``batch_size`` x pairs per
    sample (``repeated_sampling``) x ``accumulative_counts``. MMEngine counts only the first two.

    **Short runs.** Warnings are logged for a run of less than 100 steps and for a schedule that does not fit the run.

    Raises:
        CannotResume: If a checkpoint was saved within an epoch of an epoch-based run, unless epochs still have the same
            number of iterations and the sampler is a ``PairSampler``, which can continue within the epoch; or if a
            scheduler follows a metric and the schedules differ from those of the checkpoint.
    """

    def __init__(self) -> None:
        self._configured: tuple[list[dict], list[dict]] | None = None
        self._scaled = False

    def before_run(self, runner: Runner) -> None:
        """Scale the learning rate by the factors that MMEngine does not count, and ``base_lr`` of the log by all."""
        scaling = runner.cfg.get('auto_scale_lr') or {}
        if self._scaled or not scaling.get('enable') or not isinstance(runner.optim_wrapper, BaseOptimWrapper):
            return
        self._scaled = True
        loader = runner.train_dataloader
        batch, per_sample = loader.batch_sampler.batch_size, getattr(loader.sampler, 'pairs_per_sample', 1)
        for wrapper in _wrappers(runner):
            accumulated = getattr(wrapper, '_accumulative_counts', 1)
            total = runner.world_size * batch * per_sample * accumulated
            for group in wrapper.param_groups:
                unscaled = group is getattr(wrapper, 'base_param_settings', None)  # MMEngine leaves it as it is
                factor = total / scaling['base_batch_size'] if unscaled else per_sample * accumulated
                for key in {'lr', 'initial_lr'} & group.keys():
                    group[key] *= factor
            runner.logger.info(
                f'auto_scale_lr: learning rate multiplied by {total / scaling["base_batch_size"]:g}, which replaces '
                f"MMEngine's factor above. The rate of the config is for {scaling['base_batch_size']}. The total batch "
                f'size is {total:g} ({runner.world_size} processes x batch_size {batch} x {per_sample:g} pairs per '
                f'sample x accumulative_counts {accumulated})'
            )
        for scheduler in _schedulers(runner):
            if scheduler.param_name == 'lr':
                scheduler.base_values = [group['initial_lr'] for group in scheduler.optimizer.param_groups]
                scheduler._last_value = [group['lr'] for group in scheduler.optimizer.param_groups]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note the config's settings before MMEngine replaces them, and set the position to resume at."""
        if not runner._resume or not isinstance(runner.optim_wrapper, BaseOptimWrapper):
            return
        self.before_run(runner)  # which MMEngine's FlexibleRunner calls only later
        meta = checkpoint['meta']
        changes = compare_configs(meta.get('cfg') or '', runner.cfg.pretty_text)
        if changes:
            runner.logger.info('The config differs from that of the checkpoint:\n' + '\n'.join(changes))
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            self._place(runner, meta, checkpoint['message_hub'].get('runtime_info', {}))
        self._configured = (
            [{key: value for key, value in group.items() if key != 'params'} for group in _groups(runner)],
            [dict(vars(scheduler)) for scheduler in _schedulers(runner)],
        )

    def _place(self, runner: Runner, meta: dict, info: dict) -> None:
        """Set the position of an epoch-based run by its epoch, for any number of iterations per epoch."""
        epoch, iteration, length = meta['epoch'], meta['iter'], len(runner.train_dataloader)
        old_length = info['max_iters'] // info['max_epochs'] if info.get('max_epochs') else iteration // max(epoch, 1)
        within = iteration - epoch * old_length
        sampler = runner.train_dataloader.sampler
        if within and not (0 < within < length == old_length and isinstance(sampler, PairSampler)):
            raise CannotResume(
                f'The checkpoint was saved at iteration {iteration}, which is not the end of an epoch: {epoch} epochs '
                f'of {old_length} iterations are {epoch * old_length}. An epoch has {length} now. Resume from '
                'a checkpoint of the end of an epoch (epoch_<n>.pth)'
            )
        if within:
            sampler.start = within * runner.train_dataloader.batch_sampler.batch_size
        elif length != old_length:
            runner.logger.info(
                f'An epoch has {length} iterations now and had {old_length}: resuming after epoch {epoch}'
            )
        meta['iter'] = epoch * length + within
        if epoch >= runner.max_epochs:
            runner.logger.warning(
                f'The checkpoint is from epoch {epoch}, and train_cfg.max_epochs is {runner.max_epochs}: there is '
                'nothing left to train. To train longer, raise max_epochs and the ends in param_scheduler'
            )

    def before_train(self, runner: Runner) -> None:
        """Move the schedules of a resumed run to its position, and check that they fit the run."""
        if self._configured is not None:
            self._reschedule(runner, *self._configured)
            self._configured = None
        for warning in _misfits(runner):
            runner.logger.warning(warning)

    def _reschedule(self, runner: Runner, groups: list[dict], states: list[dict]) -> None:
        schedulers = list(_schedulers(runner))
        loaded = [dict(vars(scheduler)) for scheduler in schedulers]
        followers = [scheduler for scheduler in schedulers if getattr(scheduler, 'need_val_args', False)]
        if followers:
            name = type(followers[0]).__name__
            if [_definition(state) for state in loaded] == [_definition(state) for state in states]:
                for scheduler, state in zip(schedulers, states, strict=True):
                    scheduler.end = state['end']
                runner.logger.info(f"{name} follows a metric: the learning rate continues from the checkpoint's")
                return
            raise CannotResume(
                f'{name} follows a metric, so it cannot be moved to epoch {runner.epoch} of a schedule that differs '
                "from the checkpoint's: keep the checkpoint's param_scheduler"
            )
        for group, settings in zip(_groups(runner), groups, strict=True):
            group.update(settings)
        for scheduler, state in zip(schedulers, states, strict=True):
            vars(scheduler).clear()
            vars(scheduler).update(state)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # the optimizer has made no step yet
            self._replay(runner)

    def _replay(self, runner: Runner) -> None:
        """Step the schedulers to the position of the run. Each value is computed from the one before it."""
        length = len(runner.train_dataloader)
        for done in range(1, runner.iter + 1):
            super().after_train_iter(runner, done - 1)
            if isinstance(runner.train_loop, EpochBasedTrainLoop) and done % length == 0:
                super().after_train_epoch(runner)


def _wrappers(runner: Runner) -> list[BaseOptimWrapper]:
    wrapper = runner.optim_wrapper
    return list(wrapper.values()) if isinstance(wrapper, OptimWrapperDict) else [wrapper]


def _groups(runner: Runner) -> Iterator[dict]:
    return (group for wrapper in _wrappers(runner) for group in wrapper.param_groups)


def _schedulers(runner: Runner) -> Iterator[_ParamScheduler]:
    schedulers = runner.param_schedulers or []
    if isinstance(schedulers, dict):
        schedulers = [scheduler for some in schedulers.values() for scheduler in some]
    return iter(schedulers)


def _definition(state: dict) -> dict:
    """The part of a scheduler's state that does not change during a run. One that follows a metric may run longer."""
    progress = {'optimizer', 'last_step', '_global_step', '_last_value'}
    if 'monitor' in state:  # ReduceOnPlateau
        progress |= {'best', 'num_bad_epochs', 'cooldown_counter', 'end'}
    return {key: value for key, value in state.items() if key not in progress}


def _misfits(runner: Runner) -> Iterator[str]:
    """Warnings about schedules that do not fit the run."""
    epochs, steps = runner.max_epochs, runner.max_iters
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    if steps < FEW_STEPS:
        counted = f'{steps} steps ({epochs} epochs of {len(runner.train_dataloader)})' if by_epoch else f'{steps} steps'
        yield (
            f'This run has {counted} in all: too few to learn much or to follow a learning-rate schedule. Use '
            'more clips or repeat them (RepeatDataset, or repeated lines of the list), a smaller '
            'train_dataloader.batch_size, or a longer run (train_cfg, with the ends in param_scheduler)'
        )
    for scheduler in _schedulers(runner):
        name = type(scheduler).__name__
        if scheduler.by_epoch and not by_epoch:
            yield f'{name} counts epochs, but this run is iteration-based: set by_epoch=False'
            continue
        unit, total = ('epoch', epochs) if scheduler.by_epoch else ('iteration', steps)
        ends = [scheduler.end] * (scheduler.end != INF)
        last = max([*ends, *(milestone + 1 for milestone in getattr(scheduler, 'milestones', ()))], default=0)
        if last > total:
            yield f'{name} ends at {unit} {last}, but the run ends at {total}: change param_scheduler or train_cfg'
        plain = isinstance(scheduler, LinearParamScheduler) and not isinstance(scheduler, LinearLR)
        if plain and scheduler.total_iters == 0:
            yield (
                f'{name} has a single step and stays at {scheduler.start_factor:g} of the full value, also for later '
                "schedulers: use type='mmvidmae.LinearLR' or a longer warm-up"
            )


def compare_configs(old: str, new: str) -> list[str]:
    """Lines ``key: old -> new`` for the keys in which two configs differ, given as texts written by MMEngine.

    The texts are parsed, not executed, because a checkpoint may come from an unknown source.
    """
    before, after = (_flat(text) for text in (old, new))
    if not before:
        return []
    lines = [
        f'  {key}: {before.get(key, "(not set)")} -> {after.get(key, "(not set)")}'
        for key in dict.fromkeys([*after, *before])
        if before.get(key) != after.get(key) and key.split('.')[0] not in _LAUNCH_KEYS
    ]
    return lines if len(lines) <= MOST_CHANGES else [*lines[:MOST_CHANGES], f'  and {len(lines) - MOST_CHANGES} more']


def _flat(text: str) -> dict[str, str]:
    """Dotted keys and values of a config."""
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[str, str] = {}
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            _flatten(statement.targets[0].id, statement.value, found)
    return found


def _flatten(key: str, node: ast.AST, found: dict[str, Any]) -> None:
    if isinstance(node, ast.Call) and node.keywords and not node.args:  # dict(...)
        inner = [(keyword.arg, keyword.value) for keyword in node.keywords]
    elif isinstance(node, ast.Dict):
        inner = [(ast.unparse(name).strip("'") if name else '**', value) for name, value in zip(node.keys, node.values)]
    elif isinstance(node, ast.List | ast.Tuple) and any(isinstance(entry, ast.Call | ast.Dict) for entry in node.elts):
        inner = list(enumerate(node.elts))
    else:
        found[key] = ast.unparse(node)
        return
    for name, value in inner:
        _flatten(f'{key}.{name}', value, found)
