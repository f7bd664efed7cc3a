"""Masked-autoencoder pre-training on video frame pairs for OpenMMLab: DropMAE and SiamMAE."""

from .version import __version__

__all__ = ['__version__']
