# T-CoRe, ViT-S/16, ImageNet-1k, 100 epochs (the authors' README). A picture is past, current and future frame at once.
#
#   data/imagenet/train/<class>/*.JPEG
_base_ = './tcore_vit-small-p16_4xb64-amp-coslr-400e_k400.py'

train_pipeline = _base_.train_pipeline
train_pipeline[0] = dict(type='mmvidmae.SampleFrames', num_frames=1)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmvidmae.ImageViewDataset',
        data_root='data/imagenet',
        data_prefix=dict(img='train'),
        pipeline=train_pipeline,
    )
)
param_scheduler = _base_.param_scheduler
param_scheduler[1].end = param_scheduler[2].end = 100
train_cfg = dict(max_epochs=100)
