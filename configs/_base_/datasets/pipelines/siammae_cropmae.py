# Pairs of CropMAE's SiamMAE (github.com/alexandre-eymael/CropMAE at 5d0dab2), validated as siammae.py.
_base_ = './siammae.py'

train_pipeline = _base_.train_pipeline
train_pipeline[0].gap = (4, 47)  # data/util/video_utils.py:22-24
train_pipeline[2].interpolation = 'bilinear'  # data/SiamMAE_PIPE.py:10-49
