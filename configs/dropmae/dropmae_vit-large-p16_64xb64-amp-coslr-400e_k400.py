# DropMAE, ViT-L/16: a size that the authors' code offers (models_mae.py:450-463) and never reported.
_base_ = './dropmae_vit-base-p16_64xb64-amp-coslr-400e_k400.py'

model = dict(backbone=dict(arch='large'))
