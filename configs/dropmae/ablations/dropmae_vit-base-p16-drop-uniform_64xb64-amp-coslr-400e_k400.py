# Drops that are uniform over the attention within a frame, as many as with P = 0.1.
_base_ = '../dropmae_vit-base-p16_64xb64-amp-coslr-400e_k400.py'

model = dict(neck=dict(drop_strategy='uniform'))
