# Pixels normalized in each patch, as SiamMAE predicts them.
_base_ = '../rvm_vit-small-p16_32xb32-amp-coslr-400e_k400.py'

model = dict(head=dict(norm_pix=True))
