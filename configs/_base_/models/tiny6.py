# The encoder of the small configs: ViT with 6 layers, 192 wide, for 96 pixels and patches of 8. All methods have it, so
# that they compare.
tiny6 = dict(
    arch=dict(_delete_=True, embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768),
    img_size=96,
    patch_size=8,
)
