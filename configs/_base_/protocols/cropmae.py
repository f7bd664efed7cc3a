# CropMAE's fork of CRW (alexandre-eymael/CropMAE, downstreams/propagation), also that of CatMAE and T-CoRe.
protocol = dict(
    preset='cropmae',
    topk=7,
    queue=20,
    radius=20,
    window='disk',
    window_given=False,
    pad_queue=True,
    temperature=0.7,
    mask_resize='opencv-bilinear',
    output_norm=None,
    keep_given=False,
    pose_topk=5,
)
protocols = dict(
    vos=protocol, vip=dict(protocol, topk=10), jhmdb=protocol
)  # of each kind of data; vos: DAVIS and YouTube-VOS
test_pipelines = dict(
    vos=[dict(type='mmvidmae.LoadVideoFrames', size=(480, 880)), dict(type='mmvidmae.PackVideoSequence')],
    vip=[dict(type='mmvidmae.LoadVideoFrames', long_side=880), dict(type='mmvidmae.PackVideoSequence')],
    jhmdb=[dict(type='mmvidmae.LoadVideoFrames', size=(320, 320)), dict(type='mmvidmae.PackVideoSequence')],
)
model = dict(
    type='mmvidmae.LabelPropagator',
    data_preprocessor=dict(
        type='mmvidmae.VideoSequencePreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
)
