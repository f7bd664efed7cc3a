# Each query loses the same number of entries, in proportion to their attention.
_base_ = '../dropmae_vit-base-p16_64xb64-amp-coslr-400e_k400.py'

model = dict(neck=dict(drop_strategy='row'))
