# SiamMAE's table 4b: top-k, queue and radius. The paper gives no temperature, window shape, input size or code: CRW's,
# and CropMAE's input size on DAVIS.
protocol = dict(
    preset='siammae_paper',
    topk=7,
    queue=20,
    radius=20,
    window='disk',
    window_given=False,
    pad_queue=True,
    temperature=0.07,
    mask_resize='opencv-bilinear',
    output_norm=None,
    keep_given=False,
    pose_topk=5,
)
protocols = dict(
    vos=protocol, vip=dict(protocol, topk=10, radius=8), jhmdb=protocol
)  # of each kind of data; vos: DAVIS and YouTube-VOS
test_pipelines = dict(
    vos=[dict(type='mmvidmae.LoadVideoFrames', size=(480, 880)), dict(type='mmvidmae.PackVideoSequence')],
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
