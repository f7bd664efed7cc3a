# DropSeg (DropMAE, section 4) with the numbers of its authors' training (github.com/jimmy-dq/DropSeg at 7f5e082:
# util/hyper_para.py, dataset/vos_dataset.py, train_dropseg.py).
model = dict(
    type='mmvidmae.DropSeg',
    backbone=dict(
        arch='base',
        img_size=384,
        patch_size=16,
        drop_path_rate=0.1,
    ),
    loss_decode=dict(type='mmvidmae.BootstrappedCrossEntropy'),
)

train_pipeline = [
    dict(type='mmvidmae.VOSPairAugment', size=384),
    dict(type='mmvidmae.PackVOSInputs', max_objects=2),
]
# Frames of a short side of 480 pixels, as they are; the model pads them to patches.
test_pipeline = [
    dict(type='mmvidmae.LoadVideoFrames', short_side=480, divisor=1),
    dict(type='mmvidmae.PackVideoSequence'),
]

optim_wrapper = dict(type='AmpOptimWrapper', optimizer=dict(type='Adam', lr=2e-5, weight_decay=1e-7))
auto_scale_lr = dict(base_batch_size=32)
