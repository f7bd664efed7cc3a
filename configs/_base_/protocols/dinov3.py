# DINOv3's protocol (facebookresearch/dinov3, notebooks/segmentation_tracking.ipynb). It was published for VOS alone.
# The paper's inputs have a short side of 480, 960 or 1440 pixels (patch 16), or of 420, 840 or 1260 (patch 14).
protocol = dict(
    preset='dinov3',
    topk=5,
    queue=7,
    radius=12,
    window='circle',
    window_given=True,
    pad_queue=False,
    temperature=0.2,
    mask_resize='nearest',
    output_norm='channel',
    keep_given=True,
    pose_topk=5,  # as in UVC and CropMAE; DINOv3 was not evaluated on poses
)
# of each kind of data; vos: DAVIS and YouTube-VOS
protocols = dict(vos=protocol)
test_pipelines = dict(
    vos=[
        dict(type='mmvidmae.LoadVideoFrames', short_side=960, divisor=16, round_up=True, interpolation='bicubic'),
        dict(type='mmvidmae.PackVideoSequence'),
    ],
)
model = dict(
    type='mmvidmae.LabelPropagator',
    data_preprocessor=dict(
        type='mmvidmae.VideoSequencePreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
)
