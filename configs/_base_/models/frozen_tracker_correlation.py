# The same tracker with SiamFC's correlation and its options of one search at three scales (arXiv:1606.09549).
_base_ = './frozen_tracker.py'

model = dict(
    matcher=dict(
        _delete_=True,
        type='mmvidmae.CorrelationMatcher',
        scales=(1 / 1.0375, 1.0, 1.0375),
        scale_penalty=0.9745,
        window_influence=0.176,
        upsample=16,
        sigma=None,
    ),
)
