from .optim_wrapper_constructor import SummarizingOptimWrapperConstructor

__all__ = ['SummarizingOptimWrapperConstructor']
