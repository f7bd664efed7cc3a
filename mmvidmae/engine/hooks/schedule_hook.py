"""Learning rates and other schedules that follow the config, in resumed runs too."""

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
"""A run of fewer steps is hardly one."""

MOST_CHANGES = 40
"""Differences from a checkpoint's config that are logged."""

_OF_THE_START = ('work_dir', 'resume', 'load_from', 'launcher', 'log_level', 'model_wrapper_cfg')
"""Keys of a config that say how a run is started, not what it is."""


class CannotResume(ValueError):
    """A checkpoint that a run of this config cannot go on from."""


@HOOKS.register_module()
class ScheduleHook(ParamSchedulerHook):
    """MMEngine's ``ParamSchedulerHook``, whose schedules are those of the config whatever a checkpoint says.

    **Resumed runs.** MMEngine takes the schedulers' state and the optimizer's settings from the checkpoint, and the
    config's have no effect: with more epochs the learning rate stays where the old schedule ended; with another batch
    size, number of processes or list of clips it counts the iterations of the old epochs. Here both are the config's,
    at the epoch that the checkpoint has reached (at the iteration in iteration-based runs). The optimizer keeps its
    moments. What differs from the checkpoint's config is logged.

    **Scaled rates.** With ``auto_scale_lr=dict(enable=True, base_batch_size=N)`` the learning rate of the config is for
    N samples (pairs in pre-training) in a step of the optimizer. A step has processes x ``batch_size`` x pairs of a
    visit (``repeated_sampling``) x ``accumulative_counts``, of which MMEngine counts the first two.

    **Short runs.** A run of less than 100 steps, and a schedule that does not fit into the run, are logged as warnings.

    Raises:
        CannotResume: When a checkpoint is resumed that an epoch-based run made within an epoch, unless epochs have the
            same number of iterations now and the sampler is a ``PairSampler``, which goes on within the epoch; or if
            there is a scheduler that follows a metric and the schedules are not those of the checkpoint.
    """

    def __init__(self) -> None:
        self._configured: tuple[list[dict], list[dict]] | None = None
        self._scaled = False

    def before_run(self, runner: Runner) -> None:
        """Scale the learning rate by what MMEngine does not count."""
        scaling = runner.cfg.get('auto_scale_lr') or {}
        if self._scaled or not scaling.get('enable') or not isinstance(runner.optim_wrapper, BaseOptimWrapper):
            return
        self._scaled = True
        loader = runner.train_dataloader
        batch, at_visit = loader.batch_sampler.batch_size, getattr(loader.sampler, 'pairs_per_visit', 1)
        for wrapper in _wrappers(runner):
            accumulated = getattr(wrapper, '_accumulative_counts', 1)
            for group in wrapper.param_groups:
                for key in {'lr', 'initial_lr'} & group.keys():
                    group[key] *= at_visit * accumulated
            samples = runner.world_size * batch * at_visit * accumulated
            runner.logger.info(
                f'auto_scale_lr: a step has {samples:g} samples ({runner.world_size} processes x batch_size {batch} x '
                f'{at_visit:g} of a visit x accumulative_counts {accumulated}), the learning rate of the config is for '
                f'{scaling["base_batch_size"]}: multiplied by {samples / scaling["base_batch_size"]:g} in all'
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
        """Where an epoch-based run goes on: at an epoch, whatever its number of iterations was."""
        epoch, iteration, length = meta['epoch'], meta['iter'], len(runner.train_dataloader)
        old_length = info['max_iters'] // info['max_epochs'] if info.get('max_epochs') else iteration // max(epoch, 1)
        within = iteration - epoch * old_length
        sampler = runner.train_dataloader.sampler
        if within and not (0 < within < length == old_length and isinstance(sampler, PairSampler)):
            raise CannotResume(
                f'The checkpoint was saved at iteration {iteration}, which is not the end of an epoch: {epoch} epochs '
                f'of {old_length} iterations are {epoch * old_length}. An epoch has {length} now. Resume from '
                'a checkpoint that was saved at the end of an epoch (epoch_<n>.pth)'
            )
        if within:
            sampler.start = within * runner.train_dataloader.batch_sampler.batch_size
        elif length != old_length:
            runner.logger.info(
                f'An epoch has {length} iterations now and had {old_length}: going on after epoch {epoch}'
            )
        meta['iter'] = epoch * length + within
        if epoch >= runner.max_epochs:
            runner.logger.warning(
                f'The checkpoint has reached epoch {epoch}, and train_cfg.max_epochs is {runner.max_epochs}: there is '
                'nothing left to train. Raise max_epochs (and the ends in param_scheduler) to train on'
            )

    def before_train(self, runner: Runner) -> None:
        """Bring the schedules of a resumed run to its position; look whether they fit into the run."""
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
                runner.logger.info(f"{name} follows a metric: the learning rate goes on from the checkpoint's")
                return
            raise CannotResume(
                f'{name} follows a metric, so it cannot be brought to epoch {runner.epoch} of a schedule that differs '
                "from the checkpoint's: keep param_scheduler as it was"
            )
        for group, settings in zip(_groups(runner), groups, strict=True):
            group.update(settings)
        for scheduler, state in zip(schedulers, states, strict=True):
            vars(scheduler).clear()
            vars(scheduler).update(state)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # that there was no step of the optimizer yet
            self._replay(runner)

    def _replay(self, runner: Runner) -> None:
        """Step the schedulers, which compute each value from the one before it, to the position of the run."""
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
    """What of a scheduler's state does not change while it runs; one that follows a metric may run longer."""
    progress = {'optimizer', 'last_step', '_global_step', '_last_value'}
    if 'monitor' in state:  # ReduceOnPlateau
        progress |= {'best', 'num_bad_epochs', 'cooldown_counter', 'end'}
    return {key: value for key, value in state.items() if key not in progress}


def _misfits(runner: Runner) -> Iterator[str]:
    """What of the schedules does not fit into the run."""
    epochs, steps = runner.max_epochs, runner.max_iters
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    if steps < FEW_STEPS:
        counted = f'{steps} steps ({epochs} epochs of {len(runner.train_dataloader)})' if by_epoch else f'{steps} steps'
        yield (
            f'This run has {counted} in all: too few to learn much, and hardly any for a warm-up or a falling learning '
            'rate. Use more clips or more of each (RepeatDataset, or lines of the list repeated), a smaller '
            'train_dataloader.batch_size, or a longer run (train_cfg, with the ends in param_scheduler)'
        )
    for scheduler in _schedulers(runner):
        name = type(scheduler).__name__
        if scheduler.by_epoch and not by_epoch:
            yield f'{name} counts epochs, of which this iteration-based run has none: set by_epoch=False for it'
            continue
        unit, total = ('epoch', epochs) if scheduler.by_epoch else ('iteration', steps)
        ends = [scheduler.end] * (scheduler.end != INF)
        last = max([*ends, *(milestone + 1 for milestone in getattr(scheduler, 'milestones', ()))], default=0)
        if last > total:
            yield f'{name} goes on to {unit} {last}, but the run ends at {total}: change param_scheduler or train_cfg'
        plain = isinstance(scheduler, LinearParamScheduler) and not isinstance(scheduler, LinearLR)
        if plain and scheduler.total_iters == 0:
            yield (
                f'{name} has a single step and stays at {scheduler.start_factor:g} of the full value, and so does all '
                "that follows: use type='mmvidmae.LinearLR', or a longer warm-up"
            )


def compare_configs(old: str, new: str) -> list[str]:
    """Lines ``key: old -> new`` for the keys in which two configs differ, given as texts that MMEngine wrote.

    The texts are parsed and not run: that of a checkpoint may come from anywhere.
    """
    before, after = (_flat(text) for text in (old, new))
    if not before:
        return []
    lines = [
        f'  {key}: {before.get(key, "(not set)")} -> {after.get(key, "(not set)")}'
        for key in dict.fromkeys([*after, *before])
        if before.get(key) != after.get(key) and key.split('.')[0] not in _OF_THE_START
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
