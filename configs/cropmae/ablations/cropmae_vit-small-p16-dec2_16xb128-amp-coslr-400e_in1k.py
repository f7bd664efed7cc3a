# A decoder of 2 blocks instead of 4.
_base_ = '../cropmae_vit-small-p16_16xb128-amp-coslr-400e_in1k.py'

model = dict(neck=dict(depth=2))
