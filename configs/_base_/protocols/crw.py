# CRW's protocol (ajabri/videowalk, code/test.py).
protocol = dict(
    preset='crw',
    topk=10,
    queue=20,
    radius=12,
    window='disk',
    window_given=False,
    pad_queue=True,
    temperature=0.07,
    mask_resize='opencv-bilinear',
    output_norm=None,
    keep_given=False,
    pose_topk=3,
)
# of each kind of data; vos: DAVIS and YouTube-VOS
protocols = dict(vos=protocol, vip=protocol, jhmdb=protocol)
test_pipelines = dict(  # vos: native size, in whole cells of 8 pixels
    vos=[dict(type='mmvidmae.LoadVideoFrames', divisor=8), dict(type='mmvidmae.PackVideoSequence')],
    vip=[dict(type='mmvidmae.LoadVideoFrames', size=(560, 560)), dict(type='mmvidmae.PackVideoSequence')],
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
