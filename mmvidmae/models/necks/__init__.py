from .frame_decoder import FrameDecoder
from .pair_decoders import CrossPairDecoder, DecoderBranch, JointPairDecoder, PairDecoder

__all__ = ['CrossPairDecoder', 'DecoderBranch', 'FrameDecoder', 'JointPairDecoder', 'PairDecoder']
