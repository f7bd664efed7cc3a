# A crop of its own for each frame, as the authors' code has it (kinetics_dataset.py:36-38).
_base_ = '../catmae_vit-small-p16_8xb128-amp-coslr-300e_k400.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2].shared = False
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
