# Kinetics-400: about 10 s a clip at 25 to 30 fps, 400 actions. mmaction2's copy has 240,436 training and 19,796
# validation videos, DropMAE's 241,553. Layout and lists are those of mmaction2's tools/data/kinetics:
#
#   data/kinetics400/
#     kinetics400_train_list_videos.txt     <class>/<id>.mp4 <label>, one video a line, relative to videos_train
#     kinetics400_val_list_videos.txt
#     videos_train/<class>/<id>.mp4
#     videos_val/<class>/<id>.mp4
#
# Re-encode to short side 256 and short GOPs before a long run: see docs/data.md.
_base_ = './loaders.py'

train_dataloader = dict(
    dataset=dict(
        type='mmvidmae.VideoPairDataset',
        data_root='data/kinetics400',
        ann_file='kinetics400_train_list_videos.txt',
        data_prefix=dict(video='videos_train'),
    )
)
val_dataloader = dict(
    dataset=dict(
        type='mmvidmae.VideoPairDataset',
        data_root='data/kinetics400',
        ann_file='kinetics400_val_list_videos.txt',
        data_prefix=dict(video='videos_val'),
        indices=2048,  # the first so many videos: enough to follow a run
    )
)
test_dataloader = val_dataloader
