"""Masked-autoencoder pre-training on video frame pairs for OpenMMLab: DropMAE and SiamMAE."""

from . import compat  # bridges defects of the libraries below, on import
from .version import __version__

__all__ = ['__version__', 'compat']
