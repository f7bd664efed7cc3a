# Pairs of a template (128 px) and a search region (256 px) in two modalities, of BAT (github.com/SparkTempest/BAT at
# ccf9b2f: rgbt.yaml:8-27, base_functions.py:101-106). Both modalities are cut alike and share one brightness. The
# authors' gray images (probability 0.05) raise an error on six channels, and the pair is drawn anew, so there are none.
train_pipeline = [
    dict(type='mmvidmae.CausalPairSampling', max_gap=200),
    dict(type='mmvidmae.LoadPicturePair', second='infrared', skip_unreadable=True),
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='LoadTrackAnnotations'),
            dict(type='mmdet.RandomFlip', prob=0.5, direction='horizontal'),
        ],
    ),
    dict(
        type='mmvidmae.OSTrackCrop',
        factors=(2.0, 4.0),
        sizes=(128, 256),
        center_jitter=(0.0, 3.0),
        scale_jitter=(0.0, 0.25),
        brightness=0.2,
        flip_prob=0.5,
    ),
    dict(type='PackTrackInputs', ref_prefix='search', num_template_frames=1),
]
