# Any folder of sequences: NAME/img/*.jpg and NAME/groundtruth_rect.txt with a line x,y,w,h for each frame.
_base_ = './sot_loaders.py'

test_dataloader = dict(dataset=dict(type='mmvidmae.SequenceFolderDataset', data_root='data/sequences/test'))
