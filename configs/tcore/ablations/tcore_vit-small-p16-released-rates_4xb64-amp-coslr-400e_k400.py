# Learning rates as the authors' code sets them with a decoder: one rate for encoder and head, no decay by layer, no
# lower rate of the patch embedding, the last layer not frozen
# (github.com/yafeng19/T-CORE 67c8bf9:base_model/train/train.py:126-136).
_base_ = '../tcore_vit-small-p16_4xb64-amp-coslr-400e_k400.py'

optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0, lr_mults={'neck': 0.1, 'backbone.patch_embed': 1.0}))
custom_hooks = _base_.custom_hooks
custom_hooks[-1].freeze_epochs = 0
