# ToBo, ViT-B/16 (models_tobo.py:433-446), otherwise as ViT-S/16.
_base_ = './tobo_vit-small-p16_8xb24-accum8-amp-coslr-400e_k400.py'

model = dict(backbone=dict(arch='base'))
