# Clips in tar shards, here of Kinetics-400, which tools/dataset_converters/make_shards.py writes:
#
#   data/kinetics400_shards/
#     train/index.safetensors, shard-000000.tar ...
#     val/index.safetensors, shard-000000.tar ...
#
# data_root may be a URL, such as 'https://host/kinetics400' or 's3://bucket/kinetics400'. A local cache is then
#   cache=dict(folder='/local/kinetics400', gigabytes=200)
# Credentials do not belong here: see docs/shards.md.
_base_ = './loaders.py'

train_dataloader = dict(
    dataset=dict(
        type='mmvidmae.ShardPairDataset',
        data_root='data/kinetics400_shards',
        data_prefix=dict(shards='train'),
    )
)
val_dataloader = dict(
    dataset=dict(
        type='mmvidmae.ShardPairDataset',
        data_root='data/kinetics400_shards',
        data_prefix=dict(shards='val'),
        indices=2048,  # the first so many videos: enough to follow a run
    )
)
test_dataloader = val_dataloader
