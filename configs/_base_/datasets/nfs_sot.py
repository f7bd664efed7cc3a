# NFS at 30 frames a second, as downloaded or in PyTracking's layout.
_base_ = './sot_loaders.py'

test_dataloader = dict(
    dataset=dict(
        type='mmvidmae.NFSDataset',
        data_root='data/NFS',
        fps=30,
    )
)
