# Fine-tuning of SiamMAE's encoder on ImageNet-1k, with mmpretrain's schedule for MAE (layer-wise lr decay).
# Set the checkpoint of the pre-training: --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = 'mmpretrain::mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvidmae.PairMAEViT',
        arch='small',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
        out_type='avg_featmap',
        init_cfg=dict(type='Pretrained', checkpoint='CHECKPOINT', prefix='backbone.'),
    ),
    head=dict(in_channels=384),
)

default_hooks = dict(
    param_scheduler=dict(type='mmvidmae.ScheduleHook'), checkpoint=dict(type='mmvidmae.AtomicCheckpointHook')
)
