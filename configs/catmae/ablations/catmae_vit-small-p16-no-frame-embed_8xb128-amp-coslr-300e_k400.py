# No embeddings that tell the frames of the memory apart.
_base_ = '../catmae_vit-small-p16_8xb128-amp-coslr-300e_k400.py'

model = dict(neck=dict(memory_frame_embed=False))
