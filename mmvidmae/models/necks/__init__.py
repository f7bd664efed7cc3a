from .frame_decoder import FrameDecoder
from .pair_decoders import CrossPairDecoder, JointPairDecoder, PairDecoder

__all__ = ['CrossPairDecoder', 'FrameDecoder', 'JointPairDecoder', 'PairDecoder']
