# T-CoRe, ViT-S/16, Kinetics-400, 400 epochs. 64 videos on each of 4 GPUs: the authors' 936 iterations of an epoch of
# 239,789 videos (scripts/pretrain.sh:25).
_base_ = [
    '../_base_/models/tcore.py',
    '../_base_/datasets/k400.py',
    '../_base_/datasets/pipelines/tcore.py',
    '../_base_/schedules/adamw_tcore.py',
    '../_base_/schedules/tcore_400e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=64, dataset=dict(pipeline=_base_.train_pipeline))
custom_hooks = [*_base_.custom_hooks, _base_.teacher_hook]
# A loss without the teacher's schedule tells nothing: score checkpoints by label propagation (configs/propagation).
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = test_cfg = test_evaluator = None
