# Sandwich frames of T-CoRe and their views (github.com/yafeng19/T-CORE: commit:file:line below).
train_pipeline = [
    # scripts/pretrain.sh:20-22, as shares of the video; a video that is too short gives one frame three times
    # (67c8bf9:base_model/data/datasets/kinetics.py:183-210)
    dict(
        type='mmvidmae.SampleFrames',
        num_frames=3,
        draw_first='middle',
        middle=(0.3, 0.7),
        gap=(0.15, 0.25),
        short='same',
    ),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(
        type='mmvidmae.SandwichViews',
        size=224,  # 0ffcabe:base_model/configs/ssl_default_config.yaml (crops), also the next four
        local_size=96,
        num_local=8,
        scale=(0.32, 1.0),
        local_scale=(0.05, 0.32),
        jitter=(0.4, 0.4, 0.2, 0.1),  # 67c8bf9:base_model/data/augmentations.py:135-143, also the next two
        jitter_prob=0.8,
        gray_prob=0.2,
        # As asked for at augmentations.py:145-154. Their GaussianBlur applies the complements, see the ablation
        # `released-blur`.
        blur_prob=(1.0, 0.1, 0.5),
        solarize_prob=(0.0, 0.2, 0.0),  # augmentations.py:150
    ),
    dict(type='mmvidmae.PackPairs'),
]
