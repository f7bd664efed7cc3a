# UAV123.
_base_ = './sot_loaders.py'

test_dataloader = dict(
    dataset=dict(
        type='UAV123Dataset',
        data_root='data/',
        ann_file='UAV123/annotations/uav123_infos.txt',
        data_prefix=dict(img_path='UAV123'),
    )
)
test_evaluator = dict(numbered=True)  # some folders have several targets
