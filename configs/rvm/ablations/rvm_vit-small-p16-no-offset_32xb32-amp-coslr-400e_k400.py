# The decoder does not know how far the targets are.
_base_ = '../rvm_vit-small-p16_32xb32-amp-coslr-400e_k400.py'

model = dict(neck=dict(num_offsets=0))
