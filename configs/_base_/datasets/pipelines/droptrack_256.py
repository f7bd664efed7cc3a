# Pairs of a template (128 px) and a search region (256 px), with less jitter.
_base_ = './droptrack.py'

train_pipeline = _base_.train_pipeline
train_pipeline[3].update(factors=(2.0, 4.0), sizes=(128, 256), center_jitter=(0.0, 3.0), scale_jitter=(0.0, 0.25))
