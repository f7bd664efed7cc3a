# DropMAE's encoder, to be fine-tuned: identity embeddings, no class token. Set the checkpoint of the pre-training:
# --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
encoder = dict(
    type='mmvidmae.PairMAEViT',
    arch='base',
    img_size=224,
    patch_size=16,
    frame_embed=True,
    with_cls_token=False,
    init_cfg=dict(type='Pretrained', checkpoint='CHECKPOINT', prefix='backbone.'),
)
