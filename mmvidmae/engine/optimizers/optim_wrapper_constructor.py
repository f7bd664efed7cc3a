"""Compact log of parameter groups."""

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from logging import Filter, LogRecord

from mmengine.logging import MMLogger, print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn

from mmvidmae.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class SummarizingOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's default constructor with the same groups and a shorter log.

    MMEngine writes a line for each option of each parameter, several hundred for a ViT. This class writes one line for
    all parameters with the same options, with their number and their modules.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer and its wrapper for a model."""
        with _without_lines():
            optim_wrapper = super().__call__(model)
        if self.paramwise_cfg:
            print_log(_summary(model, optim_wrapper), 'current')
        return optim_wrapper


def true_names(model: nn.Module) -> dict[nn.Parameter, str]:
    """Names of a model's parameters, without those of wrappers."""
    wrappers = re.compile(r'\b(module|_fsdp_wrapped_module|_orig_mod)\.')
    return {parameter: wrappers.sub('', name) for name, parameter in model.named_parameters()}


def _summary(model: nn.Module, optim_wrapper: OptimWrapper) -> str:
    names = true_names(model)
    alike = defaultdict(list)
    for group in optim_wrapper.optimizer.param_groups:
        options = ', '.join(f'{key} {group[key]:g}' for key in ('lr', 'weight_decay') if key in group)
        alike[options] += [names[parameter] for parameter in group['params']]
    lines = [
        f'  {options}: {len(found)} parameters in {", ".join(dict.fromkeys(name.split(".")[0] for name in found))}'
        for options, found in alike.items()
    ]
    frozen = sum(not parameter.requires_grad for parameter in model.parameters())
    return '\n'.join(['Parameters by options:', *lines, *([f'  frozen: {frozen} parameters'] if frozen else [])])


class _NoParameterLines(Filter):
    """Removes MMEngine's log lines about single parameters."""

    def filter(self, record: LogRecord) -> bool:
        """Whether a record is kept."""
        message = record.getMessage()
        return not (message.startswith('paramwise_options -- ') or 'is skipped since its requires_grad=' in message)


@contextmanager
def _without_lines() -> Iterator[None]:
    logger, quiet = MMLogger.get_current_instance(), _NoParameterLines()
    logger.addFilter(quiet)
    try:
        yield
    finally:
        logger.removeFilter(quiet)
