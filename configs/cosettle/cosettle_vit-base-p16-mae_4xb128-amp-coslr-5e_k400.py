# Co-Settle on MAE, ViT-B/16, Kinetics-400, 5 epochs. 128 pairs on each of 4 GPUs.
_base_ = [
    '../_base_/models/cosettle.py',
    '../_base_/datasets/k400.py',
    '../_base_/datasets/pipelines/cosettle.py',
    '../_base_/schedules/adamw_cosettle.py',
    '../_base_/schedules/coslr_5e.py',
    '../_base_/default_runtime.py',
]

# mae_pretrain_vit_base.pth (github.com/facebookresearch/mae) after tools/model_converters/convert.py --encoder-only
weights = dict(type='Pretrained', checkpoint='checkpoints/mae_vit-base-p16.pth', prefix='backbone.')
model = dict(backbone=dict(encoder=dict(init_cfg=weights)))
train_dataloader = dict(batch_size=128, dataset=dict(pipeline=_base_.train_pipeline))
default_hooks = dict(checkpoint=dict(interval=1))
# The loss of pairs that were held out says little of an adapter; see configs/propagation for its features.
val_dataloader = val_evaluator = val_cfg = None
test_dataloader = test_evaluator = test_cfg = None
