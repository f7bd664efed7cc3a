# The encoder of `make demo`'s SiamMAE.
encoder = dict(
    type='mmvidmae.PairMAEViT',
    arch=dict(embed_dims=192, num_layers=3, num_heads=4, feedforward_channels=768),
    img_size=64,
    patch_size=8,
)
