# As the demo's, with other clips: short side 112, short GOPs, and a list in which long clips stand more than once.
#   python tools/dataset_converters/resize_videos.py VIDEOS data/small/clips --short-side 112
# tools/experiments writes the list. There are no held-out clips: the last fifth of every clip is kept for validation.
_base_ = './demo.py'

train_dataloader = dict(batch_size=8, dataset=dict(data_root='data/small'))  # videos; 4 pairs of each
val_dataloader = dict(dataset=dict(data_root='data/small', indices=256))
test_dataloader = val_dataloader
