# The same without spatial-attention dropout.
_base_ = './dropmae_vit-tiny6-p8_1xb8-coslr-20e_clips.py'

model = dict(type='mmvidmae.TwinMAE', neck=dict(spatial_drop=0.0))
