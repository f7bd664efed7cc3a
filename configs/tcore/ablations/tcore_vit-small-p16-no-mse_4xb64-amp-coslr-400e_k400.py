# Nothing draws the predictions from past and future together.
_base_ = '../tcore_vit-small-p16_4xb64-amp-coslr-400e_k400.py'

losses = _base_.model.losses
model = dict(losses=[*losses[:2], losses[3]])
