from .key_maps import (
    cropmae_to_mmvidmae,
    dropmae_to_mmvidmae,
    mmvidmae_to_cropmae,
    mmvidmae_to_dropmae,
    mmvidmae_to_rsp_block,
    rsp_block_to_mmvidmae,
)

__all__ = [
    'cropmae_to_mmvidmae',
    'dropmae_to_mmvidmae',
    'mmvidmae_to_cropmae',
    'mmvidmae_to_dropmae',
    'mmvidmae_to_rsp_block',
    'rsp_block_to_mmvidmae',
]
