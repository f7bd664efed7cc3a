# DINO's protocol (facebookresearch/dino, eval_video_segmentation.py). It was published for DAVIS alone.
protocol = dict(
    preset='dino',
    topk=5,
    queue=7,
    radius=12,
    window='square',
    window_given=True,
    pad_queue=False,
    temperature=0.1,
    mask_resize='pillow-nearest',
    output_norm='channel',
    keep_given=True,
    pose_topk=5,  # as in UVC and CropMAE; DINO was not evaluated on poses
)
# of each kind of data; vos: DAVIS and YouTube-VOS
protocols = dict(vos=protocol)
test_pipelines = dict(
    vos=[dict(type='mmvidmae.LoadVideoFrames', short_side=480), dict(type='mmvidmae.PackVideoSequence')],
)
model = dict(
    type='mmvidmae.LabelPropagator',
    data_preprocessor=dict(
        type='mmvidmae.VideoSequencePreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[0.228 * 255, 0.224 * 255, 0.225 * 255],  # red: DINO's typo for .229, which its scores contain
    ),
)
