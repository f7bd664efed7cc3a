from .cpu_amp_optim_wrapper import CPUAmpOptimWrapper
from .optim_wrapper_constructor import SummarizingOptimWrapperConstructor

__all__ = ['CPUAmpOptimWrapper', 'SummarizingOptimWrapperConstructor']
