# Kinetics-700: about 10 s a clip, 700 actions; mmaction2's copy has 542,357 training and 34,824 validation videos,
# DropMAE's 526,000 to 528,000 by its log. Layout and lists are those of mmaction2's tools/data/kinetics:
#
#   data/kinetics700/
#     kinetics700_train_list_videos.txt     <class>/<id>.mp4 <label>, one video a line, relative to videos_train
#     kinetics700_val_list_videos.txt
#     videos_train/<class>/<id>.mp4
#     videos_val/<class>/<id>.mp4
_base_ = './loaders.py'

train_dataloader = dict(
    dataset=dict(
        type='mmvidmae.VideoPairDataset',
        data_root='data/kinetics700',
        ann_file='kinetics700_train_list_videos.txt',
        data_prefix=dict(video='videos_train'),
    )
)
val_dataloader = dict(
    dataset=dict(
        type='mmvidmae.VideoPairDataset',
        data_root='data/kinetics700',
        ann_file='kinetics700_val_list_videos.txt',
        data_prefix=dict(video='videos_val'),
        indices=2048,
    )
)
test_dataloader = val_dataloader
