# The current frame from the future frame alone.
_base_ = '../tcore_vit-small-p16_4xb64-amp-coslr-400e_k400.py'

losses = _base_.model.losses
model = dict(branches=_base_.model.branches[1:], losses=[*losses[:2], losses[3]])
