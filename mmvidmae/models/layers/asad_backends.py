"""What can draw and apply the drops of ASAD: PyTorch, or Triton's kernels (``fused_spatial_dropout``)."""

import os
from importlib.util import find_spec

import torch

BACKENDS = ('auto', 'torch', 'triton')
"""Values of ``asad_backend``, see :class:`SpatialDropAttention`."""

MOST_DIMS = 128
"""Dimensions of a head that the kernels take at most."""


def interpreted() -> bool:
    """Whether Triton's interpreter runs the kernels, also on CPUs."""
    return os.environ.get('TRITON_INTERPRET', '0') == '1'


def available() -> bool:
    """Whether the kernels can be imported: they need Triton and torch 2.4 (``torch.library.custom_op``)."""
    return find_spec('triton') is not None and hasattr(torch.library, 'custom_op')
