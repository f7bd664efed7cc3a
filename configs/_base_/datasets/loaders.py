# The loaders that all data sets share; a data set file adds where its videos are, a recipe adds its pipelines.
#
# `batch_size` counts videos per GPU. With `repeated_sampling=k` (SiamMAE) a video gives k pairs, so the model sees k x
# batch_size pairs.
train_dataloader = dict(
    batch_size=64,
    num_workers=10,  # DropMAE's number (main_pretrain_kinetics.py:149); about the cores of the machine / its GPUs
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='mmvidmae.PairSampler', shuffle=True),
    collate_fn=dict(type='mmvidmae.pair_collate'),
)

# The papers do not validate. Here the loss on pairs of held-out videos, always the same ones, is measured beside that
# of predicting each patch's mean (about 1 for normalized pixels). Without held-out videos, run with --no-validate.
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    drop_last=False,
    sampler=dict(type='mmvidmae.PairSampler', shuffle=False),
    collate_fn=dict(type='mmvidmae.pair_collate'),
)
val_evaluator = dict(type='mmvidmae.ReconstructionMetric')
val_cfg = dict()

test_dataloader = val_dataloader
test_evaluator = val_evaluator
test_cfg = dict()
