# DropMAE started from MAE's encoder, pre-trained on ImageNet. Convert the weights first:
#   python tools/model_converters/convert.py mae_pretrain_vit_base.pth \
#       checkpoints/mae_vit-base-p16.pth --encoder-only
# The class token is not used, and identity embeddings start random.
_base_ = '../dropmae_vit-base-p16_64xb64-amp-coslr-400e_k400.py'

model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='checkpoints/mae_vit-base-p16.pth', prefix='backbone.')),
)

optim_wrapper = dict(optimizer=dict(lr=1.5e-4 * 4096 / 256 / 10))  # a tenth of the recipe's: our choice
