# DAVIS-2016, every frame by itself, background and foreground: data/DAVIS/{JPEGImages,Annotations}/480p and ImageSets.
crop_size = (480, 480)
train_pipeline = [
    dict(type='mmvidmae.LoadPicture', skip_unreadable=True),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(854, 480), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='mmvidmae.LoadPicture'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmvidmae.DAVISForegroundDataset', data_root='data/DAVIS', split='train', pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='mmvidmae.DAVISForegroundDataset', data_root='data/DAVIS', split='val', pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
