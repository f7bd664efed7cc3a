# No noise on the target that the posterior sees.
_base_ = '../rsp_vit-small-p16_8xb192-amp-coslr-400e_k400.py'

model = dict(noise_scale=0.0)
