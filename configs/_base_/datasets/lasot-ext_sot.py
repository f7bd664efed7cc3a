# LaSOT's extension: 150 videos of 15 further classes.
_base_ = './sot_loaders.py'

test_dataloader = dict(
    dataset=dict(
        type='mmvidmae.LaSOTExtDataset',
        data_root='data/LaSOT_extension_subset',
    )
)
test_evaluator = dict(use_visibility=True)
