# Decoder without self-attention (52.2 against 58.1 J&F on DAVIS in a third-party note of the paper's table).
_base_ = '../siammae_vit-small-p16_16xb64-amp-coslr-400e_k400.py'

model = dict(neck=dict(order=('cross', 'ffn')))
