# Frames already extracted, one folder a sequence: the tracking and segmentation sets. Here GOT-10k, 9,335 training and
# 180 validation sequences at 10 fps:
#
#   data/got10k/
#     train/GOT-10k_Train_000001/00000001.jpg
#     val/GOT-10k_Val_000001/00000001.jpg
#
# Other sets differ in these lines. Folders are searched at any depth; where train and val share one, lists part them.
#
#   LaSOT, 1,120 training sequences, <class>/<sequence>/img/*.jpg
#     data_root='data/lasot', data_prefix=dict(img='train')
#   YouTube-VOS 2019, 3,471 training sequences, <sequence>/*.jpg, every fifth frame
#     data_root='data/youtube_vos', data_prefix=dict(img='train/JPEGImages')
#   DAVIS-2017, 60 training and 30 validation sequences, <sequence>/*.jpg
#     data_root='data/davis', data_prefix=dict(img='JPEGImages/480p'), ann_file='ImageSets/2017/train.txt'
#
# Gaps are counted in stored frames: where a set keeps fewer frames a second than Kinetics' 25 to 30, take smaller ones.
_base_ = './loaders.py'

train_dataloader = dict(
    dataset=dict(type='mmvidmae.FramePairDataset', data_root='data/got10k', data_prefix=dict(img='train'))
)
val_dataloader = dict(
    dataset=dict(type='mmvidmae.FramePairDataset', data_root='data/got10k', data_prefix=dict(img='val'))
)
test_dataloader = val_dataloader
