# ViT-H/14 instead of ViT-S/16. MAE's size, not the paper's; see docs/scaling.md for its memory.
_base_ = './siammae_vit-small-p16_16xb64-amp-coslr-400e_k400.py'

model = dict(backbone=dict(arch='huge', patch_size=14))
