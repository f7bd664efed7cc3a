# The patch branch alone: SiamMAE with 90 % hidden.
_base_ = '../tobo_vit-small-p16_8xb24-accum8-amp-coslr-400e_k400.py'

model = dict(neck=dict(branches=(dict(targets=(1,), memory=(0,)),)))
