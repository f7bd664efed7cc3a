# GOT-10k's validation set: 180 videos with ground truth, so AO and SR are computed here.
_base_ = './sot_loaders.py'

test_dataloader = dict(
    dataset=dict(
        type='mmvidmae.GOT10kSequences',
        data_root='data/GOT10k/val',
    )
)
test_evaluator = dict(protocol='got10k')
