"""Telling compilation from eager mode with any torch.

What: ``torch.compiler.is_compiling`` is missing.

Why: torch 2.1 has the function as ``torch._dynamo.is_compiling`` only.

Until: torch 2.1 is no longer supported.
"""

import torch


def is_compiling() -> bool:
    """Whether ``torch.compile`` or ``torch.export`` is tracing the caller."""
    if hasattr(torch.compiler, 'is_compiling'):
        return torch.compiler.is_compiling()
    return torch._dynamo.is_compiling()
