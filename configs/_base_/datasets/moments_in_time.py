# Moments in Time: 3 s a clip, 802,264 training and 33,900 validation videos of 339 classes in its first version,
# 727,305 and 30,500 of 305 classes in its second. Most gaps of 1..49 frames fit into a clip. Layout and lists are those
# of mmaction2's tools/data/mit:
#
#   data/mit/
#     mit_train_list_videos.txt             <class>/<id>.mp4 <label>, one video a line, relative to videos/training
#     mit_val_list_videos.txt
#     videos/training/<class>/<id>.mp4
#     videos/validation/<class>/<id>.mp4
_base_ = './loaders.py'

train_dataloader = dict(
    dataset=dict(
        type='mmvidmae.VideoPairDataset',
        data_root='data/mit',
        ann_file='mit_train_list_videos.txt',
        data_prefix=dict(video='videos/training'),
    )
)
val_dataloader = dict(
    dataset=dict(
        type='mmvidmae.VideoPairDataset',
        data_root='data/mit',
        ann_file='mit_val_list_videos.txt',
        data_prefix=dict(video='videos/validation'),
        indices=2048,
    )
)
test_dataloader = val_dataloader
