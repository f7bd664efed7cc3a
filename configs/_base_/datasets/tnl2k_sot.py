# TNL2K's test set: 700 videos, tracked by their first box alone.
_base_ = './sot_loaders.py'

test_dataloader = dict(
    dataset=dict(
        type='mmvidmae.TNL2KDataset',
        data_root='data/TNL2K_test_subset',
    )
)
