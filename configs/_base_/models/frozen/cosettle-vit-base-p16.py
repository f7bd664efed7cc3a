# ViT-B/16 with the adapter of Co-Settle: the checkpoint of its training holds both, also the frozen weights.
encoder = dict(
    type='mmvidmae.AdaptedViT',
    encoder=dict(type='mmvidmae.PairMAEViT', arch='base', img_size=224, patch_size=16, pos_interp='dino'),
)
