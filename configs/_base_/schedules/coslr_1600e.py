# 1600 epochs, otherwise as coslr_400e.py.
param_scheduler = [
    dict(type='mmvidmae.LinearLR', start_factor=1e-9, by_epoch=True, begin=0, end=40, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=40, end=1600, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=1600, val_interval=20)
