# ViT-B/16 of DropMAE and TwinMAE: identity embeddings, of which a single frame gets that of frame 0, no class token.
encoder = dict(
    type='mmvidmae.PairMAEViT',
    arch='base',
    img_size=224,
    patch_size=16,
    pos_interp='dino',
    frame_embed=True,
    with_cls_token=False,
)
