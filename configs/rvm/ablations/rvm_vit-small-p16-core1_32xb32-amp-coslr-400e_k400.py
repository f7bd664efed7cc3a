# A recurrent core of one block.
_base_ = '../rvm_vit-small-p16_32xb32-amp-coslr-400e_k400.py'

model = dict(backbone=dict(core=dict(depth=1)))
