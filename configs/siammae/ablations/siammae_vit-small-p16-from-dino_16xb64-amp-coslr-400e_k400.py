# SiamMAE started from DINO's encoder, pre-trained on ImageNet. Convert the weights first:
#   python tools/model_converters/convert.py dino_deitsmall16_pretrain.pth \
#       checkpoints/dino_vit-small-p16.pth --encoder-only
_base_ = '../siammae_vit-small-p16_16xb64-amp-coslr-400e_k400.py'

model = dict(
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='checkpoints/dino_vit-small-p16.pth', prefix='backbone.')
    ),
)

optim_wrapper = dict(optimizer=dict(lr=1.5e-4 * 2048 / 256 / 10))  # a tenth of the recipe's: our choice
