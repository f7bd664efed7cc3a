# 75 % of each frame hidden, instead of 75 % of both together: equally many visible tokens in both. Not in the paper.
_base_ = '../dropmae_vit-base-p16_64xb64-amp-coslr-400e_k400.py'

model = dict(masking=dict(_delete_=True, type='mmvidmae.PerFrameRandomMasking', mask_ratio=0.75))
