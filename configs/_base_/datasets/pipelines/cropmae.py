# Views of CropMAE (github.com/alexandre-eymael/CropMAE at 5d0dab2: file:line below): a global crop of a picture, and a
# local crop of the resized global crop. Each view is flipped by a coin of its own.
train_pipeline = [
    dict(type='mmvidmae.SampleFrames', num_frames=1),  # the picture; of a video a uniform frame (video_utils.py:52)
    dict(type='mmvidmae.LoadFramePairs'),
    dict(
        type='mmvidmae.PictureViews',
        size=224,
        scale=((0.1, 1.0), (0.3, 0.6)),  # scripts/train_cropmae_in.sh:81-84
        ratio=(3 / 4, 4 / 3),  # :85-88
        crops='nested',  # data/util/CropMAEStrategies.py:52-66
        interpolation='bilinear',
        prob=0.5,  # :34,57
        shared_flip=False,
    ),
    dict(type='mmvidmae.PackPairs'),
]
val_pipeline = train_pipeline  # other pictures, the same views in every epoch
