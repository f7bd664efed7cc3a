# ViT-B/16 instead of ViT-S/16. A size of the third-party re-runs, not of the paper.
_base_ = './siammae_vit-small-p16-cropmae-dec_16xb128-amp-coslr-400e_k400.py'

model = dict(backbone=dict(arch='base'))
