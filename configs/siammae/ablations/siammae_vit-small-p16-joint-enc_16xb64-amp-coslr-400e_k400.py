# Joint encoder: the visible tokens of both frames in one sequence, instead of each frame by itself.
_base_ = '../siammae_vit-small-p16_16xb64-amp-coslr-400e_k400.py'

model = dict(backbone=dict(encoding='joint'))
