# OSTrack-384: no frame identities, from MAE's or any other encoder, and OSTrack's lr.
_base_ = './droptrack_vit-base-p16-384_4xb32-300e_all.py'

model = dict(backbone=dict(frame_embed=False))
optim_wrapper = dict(optimizer=dict(lr=4e-4))
