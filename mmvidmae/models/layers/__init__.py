from .arguments import require, require_divisible, require_share, require_size, require_whole
from .attention_weights import attention_weights
from .blocks import CrossAttention, CrossBlock, SpatialDropBlock
from .gradient_checkpointing import maybe_checkpoint
from .initialization import check_shapes, init_mae_weights
from .partial_layers import Branches, attend_and_feed, layer_of_last_tokens, project
from .position_embedding import (
    build_1d_sincos_pos_embed,
    build_2d_sincos_pos_embed,
    interpolate_pos_embed_antialiased,
    interpolate_pos_embed_dino,
    interpolate_pos_embed_size,
    square_grid,
)
from .spatial_drop_law import num_spatial_drops, spatial_drop_weights
from .spatial_dropout import SpatialDropAttention, sample_spatial_drops

__all__ = [
    'Branches',
    'CrossAttention',
    'CrossBlock',
    'SpatialDropAttention',
    'SpatialDropBlock',
    'attend_and_feed',
    'attention_weights',
    'build_1d_sincos_pos_embed',
    'build_2d_sincos_pos_embed',
    'check_shapes',
    'init_mae_weights',
    'interpolate_pos_embed_antialiased',
    'interpolate_pos_embed_dino',
    'interpolate_pos_embed_size',
    'layer_of_last_tokens',
    'maybe_checkpoint',
    'num_spatial_drops',
    'project',
    'require',
    'require_divisible',
    'require_share',
    'require_size',
    'require_whole',
    'sample_spatial_drops',
    'spatial_drop_weights',
    'square_grid',
]
