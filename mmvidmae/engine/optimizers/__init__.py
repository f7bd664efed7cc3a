from .optim_wrapper_constructor import SummarizingOptimWrapperConstructor
from .partwise_constructor import PartwiseOptimWrapperConstructor

__all__ = ['PartwiseOptimWrapperConstructor', 'SummarizingOptimWrapperConstructor']
