# Without shifted positions.
_base_ = '../cosettle_vit-base-p16-mae_4xb128-amp-coslr-5e_k400.py'

model = dict(shift_ratio=0.0)
