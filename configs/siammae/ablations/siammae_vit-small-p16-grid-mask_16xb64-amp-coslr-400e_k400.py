# One visible patch in each 4 x 4 cell of the future frame: 9 of 196 as with random masking, but regularly spaced.
_base_ = '../siammae_vit-small-p16_16xb64-amp-coslr-400e_k400.py'

model = dict(masking=dict(_delete_=True, type='mmvidmae.GridMasking', stride=(1, 4)))
