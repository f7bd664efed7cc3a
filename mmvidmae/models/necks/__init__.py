from .pair_decoders import CrossPairDecoder, JointPairDecoder, PairDecoder

__all__ = ['CrossPairDecoder', 'JointPairDecoder', 'PairDecoder']
