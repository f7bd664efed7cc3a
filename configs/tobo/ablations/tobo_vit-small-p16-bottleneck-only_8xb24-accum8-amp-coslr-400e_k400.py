# The bottleneck branch alone. The blocks have no cross-attention then.
_base_ = '../tobo_vit-small-p16_8xb24-accum8-amp-coslr-400e_k400.py'

model = dict(
    neck=dict(order=('self', 'ffn'), branches=(dict(targets=(1,), memory=(), cls_token=0),)),
)
