# Our reading: RVM has published no training. SiamMAE's optimizer, in bfloat16, in which the authors' models compute.
_base_ = './adamw_siammae.py'

optim_wrapper = dict(dtype='bfloat16')
