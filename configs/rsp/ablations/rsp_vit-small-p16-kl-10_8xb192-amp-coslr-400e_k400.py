# A KL loss of ten times the weight.
_base_ = '../rsp_vit-small-p16_8xb192-amp-coslr-400e_k400.py'

model = dict(kl_weight=0.1)
