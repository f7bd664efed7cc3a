# 5 epochs: one of warm-up, then half a cosine to 0.
param_scheduler = [
    dict(type='mmvidmae.LinearLR', start_factor=1e-9, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=1, end=5, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=5)
