# DropTrack (DropMAE, section 4): OSTrack with frame identities, in mmtrack's loops. Types without prefix are mmtrack's.
# The numbers are those of the authors' configuration; template and search sizes, and all that follows from them, are
# set here once and overridden by the configs of other sizes.
default_scope = 'mmtrack'

template_size, search_size = 192, 384
model = dict(
    type='mmvidmae.DropTrack',
    template_size=template_size,
    search_size=search_size,
    template_factor=2.0,
    search_factor=5.0,
    backbone=dict(
        type='mmvidmae.OneStreamViT',
        arch='base',
        patch_size=16,
        frame_embed=True,
        ce_loc=(3, 6, 9),
        ce_keep_ratio=(0.7, 0.7, 0.7),
        drop_path_rate=0.1,
    ),
    head=dict(type='mmvidmae.CenterHead', channels=256),
    data_preprocessor=dict(type='mmvidmae.CropPreprocessor', bgr_to_rgb=True),
)

train_pipeline = [
    dict(type='mmvidmae.CausalPairSampling', max_gap=200),
    dict(type='mmvidmae.LoadPicture', skip_unreadable=True),
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='LoadTrackAnnotations'),
            dict(type='GrayAug', prob=0.05),
            dict(type='mmdet.RandomFlip', prob=0.5, direction='horizontal'),
        ],
    ),
    dict(
        type='mmvidmae.OSTrackCrop',
        factors=(2.0, 5.0),
        sizes=(template_size, search_size),
        center_jitter=(0.0, 4.5),
        scale_jitter=(0.0, 0.5),
        brightness=0.2,
        flip_prob=0.5,
    ),
    dict(type='PackTrackInputs', ref_prefix='search', num_template_frames=1),
]
# Single precision, as published. AMP: --amp
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2.5e-4, weight_decay=1e-4),  # for a total batch of 128
    constructor='mmvidmae.SummarizingOptimWrapperConstructor',  # a line of the log for all that train alike
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
    clip_grad=dict(max_norm=0.1),
)
auto_scale_lr = dict(base_batch_size=128)
