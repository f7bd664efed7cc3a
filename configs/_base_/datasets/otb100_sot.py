# OTB100.
_base_ = './sot_loaders.py'

test_dataloader = dict(
    dataset=dict(
        type='OTB100Dataset',
        data_root='data/',
        ann_file='OTB100/annotations/otb100_infos.txt',
        data_prefix=dict(img_path='OTB100'),
    )
)
test_evaluator = dict(numbered=True)  # some folders have several targets
