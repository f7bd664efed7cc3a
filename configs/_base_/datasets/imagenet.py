# ImageNet-1k, as mmpretrain and torchvision lay it out: 1,281,167 training and 50,000 validation pictures.
#
#   data/imagenet/
#     train/<class>/*.JPEG
#     val/<class>/*.JPEG
#
# Any other folders of pictures do as well, or lists of them: ann_file='train.txt', one `path [label]` a line.
_base_ = './loaders.py'

train_dataloader = dict(
    dataset=dict(type='mmvidmae.ImageViewDataset', data_root='data/imagenet', data_prefix=dict(img='train'))
)
val_dataloader = dict(
    dataset=dict(
        type='mmvidmae.ImageViewDataset',
        data_root='data/imagenet',
        data_prefix=dict(img='val'),
        indices=2048,  # the first so many pictures: enough to follow a run
    )
)
test_dataloader = val_dataloader
