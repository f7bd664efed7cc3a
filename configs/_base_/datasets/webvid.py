# WebVid-2M: about 2.5 million training and 5,000 validation videos of 18 s on average, many scenes and less motion than
# Kinetics (the contrast that DropMAE draws). Layout of the set's download script; make the lists with
# tools/dataset_converters/make_list.py:
#
#   data/webvid/
#     webvid_train_list_videos.txt          <page_dir>/<videoid>.mp4, one video a line, relative to videos_train
#     webvid_val_list_videos.txt
#     videos_train/<page_dir>/<videoid>.mp4
#     videos_val/<page_dir>/<videoid>.mp4
_base_ = './loaders.py'

train_dataloader = dict(
    dataset=dict(
        type='mmvidmae.VideoPairDataset',
        data_root='data/webvid',
        ann_file='webvid_train_list_videos.txt',
        data_prefix=dict(video='videos_train'),
    )
)
val_dataloader = dict(
    dataset=dict(
        type='mmvidmae.VideoPairDataset',
        data_root='data/webvid',
        ann_file='webvid_val_list_videos.txt',
        data_prefix=dict(video='videos_val'),
        indices=2048,
    )
)
test_dataloader = val_dataloader
