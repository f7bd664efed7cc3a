# Cross-attention counts once in its residual sum (attn_mul of the authors' code, whose default is 4).
_base_ = '../tcore_vit-small-p16_4xb64-amp-coslr-400e_k400.py'

model = dict(neck=dict(cross_weight=1.0))
