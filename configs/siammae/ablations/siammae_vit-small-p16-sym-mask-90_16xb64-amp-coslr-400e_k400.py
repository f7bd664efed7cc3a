# 90 % of both frames hidden, instead of nothing of the past and 95 % of the future.
_base_ = '../siammae_vit-small-p16_16xb64-amp-coslr-400e_k400.py'

model = dict(masking=dict(_delete_=True, type='mmvidmae.PerFrameRandomMasking', mask_ratio=0.9))
