# CropMAE, ViT-B/16 with the authors' decoder for it (models/SiamMAE.py:146), otherwise as ViT-S/16.
_base_ = './cropmae_vit-small-p16_16xb128-amp-coslr-400e_in1k.py'

model = dict(backbone=dict(arch='base'), neck=dict(decoder_dims=512, depth=8, num_heads=16))
