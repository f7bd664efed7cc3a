# Clips of a template and five search regions of HIPTrack (github.com/WenRuiCai/HIPTrack at 371b753: hiptrack.yaml:8-21,
# lib/train/data/sampler.py:128-191). The crops are DropTrack's.
_base_ = './droptrack.py'

train_pipeline = _base_.train_pipeline
train_pipeline[0] = dict(type='mmvidmae.ClipSampling', num_search=5, max_jump=70)
