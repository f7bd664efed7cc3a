# P rises from 0 to 0.2 over the first 200 epochs: the decoder learns to match before it loses its neighbors.
_base_ = '../dropmae_vit-base-p16_64xb64-amp-coslr-400e_k400.py'

custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='mmvidmae.AttributeScheduleHook',
        attribute='neck.spatial_drop',
        begin=0,
        end=200,
        start_value=0.0,
        end_value=0.2,
        by_epoch=True,
    ),
]
