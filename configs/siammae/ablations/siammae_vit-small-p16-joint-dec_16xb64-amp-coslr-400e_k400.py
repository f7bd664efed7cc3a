# Decoder with self-attention over both frames together, instead of cross-attention to the past frame.
_base_ = '../siammae_vit-small-p16_16xb64-amp-coslr-400e_k400.py'

model = dict(neck=dict(order=('self', 'ffn')))
