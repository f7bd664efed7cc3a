# Scored against masks resized to 480 x 880, as CropMAE, RSP and CatMAE do: boundaries may be 9 instead of 8 pixels off.
_base_ = [
    '../_base_/models/frozen/vit-small-p16.py',
    '../_base_/protocols/cropmae.py',
    '../_base_/datasets/davis2017_propagation.py',
    '../_base_/propagation_runtime.py',
]

model = dict(backbone=_base_.encoder, protocol=_base_.protocols.vos)
test_pipeline = _base_.test_pipelines.vos
test_pipeline[0].out_size = (480, 880)
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_evaluator = dict(gt_size=(480, 880))
