from .architecture import Architecture, infer_architecture
from .checkpoint_io import CheckpointError, compact, read_state_dict, strip_wrappers, write_state_dict
from .conversion import Conversion, ConversionError, convert_state_dict
from .formats import SOURCES, TARGETS, recognize
from .key_maps import (
    cropmae_to_mmvidmae,
    dino_to_mmvidmae,
    dropmae_to_mmvidmae,
    dropseg_to_mmvidmae,
    droptrack_to_mmvidmae,
    mae_to_mmvidmae,
    mmvidmae_to_cropmae,
    mmvidmae_to_dropmae,
    mmvidmae_to_dropseg,
    mmvidmae_to_droptrack,
    mmvidmae_to_mae,
    mmvidmae_to_mmseg,
    mmvidmae_to_rsp_block,
    rsp_block_to_mmvidmae,
)
from .position_embedding import POS_INTERP, fold_identity, interpolate_pos_embed

__all__ = [
    'POS_INTERP',
    'SOURCES',
    'TARGETS',
    'Architecture',
    'CheckpointError',
    'Conversion',
    'ConversionError',
    'compact',
    'convert_state_dict',
    'cropmae_to_mmvidmae',
    'dino_to_mmvidmae',
    'dropmae_to_mmvidmae',
    'dropseg_to_mmvidmae',
    'droptrack_to_mmvidmae',
    'fold_identity',
    'infer_architecture',
    'interpolate_pos_embed',
    'mae_to_mmvidmae',
    'mmvidmae_to_cropmae',
    'mmvidmae_to_dropmae',
    'mmvidmae_to_dropseg',
    'mmvidmae_to_droptrack',
    'mmvidmae_to_mae',
    'mmvidmae_to_mmseg',
    'mmvidmae_to_rsp_block',
    'read_state_dict',
    'recognize',
    'rsp_block_to_mmvidmae',
    'strip_wrappers',
    'write_state_dict',
]
