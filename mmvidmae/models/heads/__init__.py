from .pair_reconstruction_head import PairReconstructionHead

__all__ = ['PairReconstructionHead']
