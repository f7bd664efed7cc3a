from .pair_reconstruction_head import PairReconstructionHead
from .prototype_head import PrototypeHead

__all__ = ['PairReconstructionHead', 'PrototypeHead']
