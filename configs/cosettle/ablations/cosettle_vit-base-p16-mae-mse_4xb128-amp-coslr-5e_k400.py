# The mean squared difference as regularization, the other choice of the authors' code.
_base_ = '../cosettle_vit-base-p16-mae_4xb128-amp-coslr-5e_k400.py'

model = dict(reg='mse')
