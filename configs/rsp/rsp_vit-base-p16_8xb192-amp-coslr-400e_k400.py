# ViT-B/16 instead of ViT-S/16.
_base_ = './rsp_vit-small-p16_8xb192-amp-coslr-400e_k400.py'

model = dict(backbone=dict(arch='base'))
