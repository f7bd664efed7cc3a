# One visible patch in each 2 x 2 cell of both frames: 75 % hidden, regularly. Not in the paper.
_base_ = '../dropmae_vit-base-p16_64xb64-amp-coslr-400e_k400.py'

model = dict(masking=dict(_delete_=True, type='mmvidmae.GridMasking', stride=2))
