# The encoder of the small configs (configs/small), such as the SiamMAE that ships with weights.
encoder = dict(
    type='mmvidmae.PairMAEViT',
    arch=dict(embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768),
    img_size=96,
    patch_size=8,
    pos_interp='dino',
)
