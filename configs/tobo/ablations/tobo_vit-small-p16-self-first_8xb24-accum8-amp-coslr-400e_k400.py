# Self-attention before cross-attention (the authors' option scm).
_base_ = '../tobo_vit-small-p16_8xb24-accum8-amp-coslr-400e_k400.py'

model = dict(neck=dict(order=('self', 'cross', 'ffn')))
