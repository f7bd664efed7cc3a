# Drops in proportion to the match of the query in the other frame alone.
_base_ = '../dropmae_vit-base-p16_64xb64-amp-coslr-400e_k400.py'

model = dict(neck=dict(drop_strategy='match'))
