# Kinetics-600: about 10 s a clip, 600 actions; mmaction2's copy has 383,393 training and 27,910 validation videos.
# Layout and lists are those of mmaction2's tools/data/kinetics:
#
#   data/kinetics600/
#     kinetics600_train_list_videos.txt     <class>/<id>.mp4 <label>, one video a line, relative to videos_train
#     kinetics600_val_list_videos.txt
#     videos_train/<class>/<id>.mp4
#     videos_val/<class>/<id>.mp4
_base_ = './loaders.py'

train_dataloader = dict(
    dataset=dict(
        type='mmvidmae.VideoPairDataset',
        data_root='data/kinetics600',
        ann_file='kinetics600_train_list_videos.txt',
        data_prefix=dict(video='videos_train'),
    )
)
val_dataloader = dict(
    dataset=dict(
        type='mmvidmae.VideoPairDataset',
        data_root='data/kinetics600',
        ann_file='kinetics600_val_list_videos.txt',
        data_prefix=dict(video='videos_val'),
        indices=2048,
    )
)
test_dataloader = val_dataloader
