# TwinMAE, the baseline of the DropMAE paper: the same without spatial-attention dropout (P = 0).
_base_ = './dropmae_vit-base-p16_64xb64-amp-coslr-800e_k400.py'

model = dict(type='mmvidmae.TwinMAE', neck=dict(spatial_drop=0.0))
