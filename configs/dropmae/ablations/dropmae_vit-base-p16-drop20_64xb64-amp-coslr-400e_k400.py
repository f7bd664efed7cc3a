# P = 0.2 instead of 0.1 (the sweep of the paper's figure 4; P = 0 is TwinMAE).
_base_ = '../dropmae_vit-base-p16_64xb64-amp-coslr-400e_k400.py'

model = dict(neck=dict(spatial_drop=0.2))
