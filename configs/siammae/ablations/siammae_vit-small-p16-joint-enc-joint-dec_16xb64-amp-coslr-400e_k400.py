# Joint encoder and joint decoder: self-attention over both frames throughout.
_base_ = '../siammae_vit-small-p16_16xb64-amp-coslr-400e_k400.py'

model = dict(backbone=dict(encoding='joint'), neck=dict(order=('self', 'ffn')))
