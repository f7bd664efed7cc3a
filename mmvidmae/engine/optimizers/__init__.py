from .cpu_amp_optim_wrapper import CPUAmpOptimWrapper
from .optim_wrapper_constructor import SummarizingOptimWrapperConstructor
from .partwise_constructor import PartwiseOptimWrapperConstructor

__all__ = ['CPUAmpOptimWrapper', 'PartwiseOptimWrapperConstructor', 'SummarizingOptimWrapperConstructor']
