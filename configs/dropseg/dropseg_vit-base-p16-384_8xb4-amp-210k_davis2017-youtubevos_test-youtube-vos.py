_base_ = [
    './dropseg_vit-base-p16-384_8xb4-amp-210k_davis2017-youtubevos.py',
    '../_base_/datasets/youtube_vos_propagation.py',
]

test_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline))
