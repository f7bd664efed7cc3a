# CatMAE (arXiv 2311.00961; github.com/minhoooo1/CatMAE at 0fb1f60: file:line below). The class fixes the method: the
# first of three frames is whole, siamese encoder with a class token, post-norm decoder (cross-attention, feed-forward,
# self-attention), frame embeddings on the memory, loss on hidden patches against pixels normalized in each patch.
model = dict(
    type='mmvidmae.CatMAE',
    backbone=dict(arch='small', img_size=224, patch_size=16),
    masking=dict(mask_ratio=(0.0, 0.95, 0.95)),  # configs/pretrain_catmae_vit-s-16.json:10
    neck=dict(
        decoder_dims=256,  # configs/pretrain_catmae_vit-s-16.json:13, also the next two
        depth=4,
        num_heads=4,
        feedforward_channels=2048,  # models_catmae.py:42, also what follows
        dropout=0.1,
        eps=1e-5,  # models_catmae.py:43; encoder and last norm have 1e-6
        branches=(
            dict(targets=(1,), memory=(0,), weight=0.8, name='second'),  # configs/pretrain_catmae_vit-s-16.json:11
            dict(targets=(2,), memory=(0, 1), weight=1.0, name='third'),
        ),
    ),
)
