# ViT-S/8 instead of ViT-S/16.
_base_ = './siammae_vit-small-p16_16xb64-amp-coslr-400e_k400.py'

model = dict(backbone=dict(patch_size=8))
