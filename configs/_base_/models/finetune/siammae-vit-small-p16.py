# SiamMAE's encoder, to be fine-tuned. Set the checkpoint of the pre-training:
# --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
encoder = dict(
    type='mmvidmae.PairMAEViT',
    arch='small',
    img_size=224,
    patch_size=16,
    init_cfg=dict(type='Pretrained', checkpoint='CHECKPOINT', prefix='backbone.'),
)
