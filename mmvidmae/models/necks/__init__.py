from .frame_decoder import FrameDecoder
from .latent_decoder import LatentCrossDecoder
from .pair_decoders import CrossPairDecoder, DecoderBranch, JointPairDecoder, PairDecoder
from .stochastic_token import StochasticToken

__all__ = [
    'CrossPairDecoder',
    'DecoderBranch',
    'FrameDecoder',
    'JointPairDecoder',
    'LatentCrossDecoder',
    'PairDecoder',
    'StochasticToken',
]
