# SiamMAE (arXiv 2305.14344; no official code exists). Numbers are those of the paper's table 4a; what it does not give
# is MAE's (arXiv 2111.06377 and its code), on which the paper says it builds.
model = dict(
    type='mmvidmae.SiamMAE',
    data_preprocessor=dict(
        type='mmpretrain.VideoDataPreprocessor',
        mean=[123.675, 116.28, 103.53],  # MAE: ImageNet's
        std=[58.395, 57.12, 57.375],
        format_shape='NCHW',
    ),
    backbone=dict(
        type='mmvidmae.PairMAEViT',
        arch='small',
        img_size=224,
        patch_size=16,
        encoding='siamese',  # each frame by itself, with shared weights
        frame_embed=False,
        with_cls_token=True,
    ),
    # nothing of the past frame, 95 % of the future frame
    masking=dict(type='mmvidmae.AsymmetricMasking', mask_ratio=(0.0, 0.95)),
    neck=dict(
        type='mmvidmae.CrossPairDecoder',
        decoder_dims=512,  # MAE: the paper does not give the size of its decoder
        depth=8,  # MAE
        num_heads=16,  # MAE
        feedforward_channels=None,  # MAE: 4 x decoder_dims
        order=('cross', 'self', 'ffn'),  # the paper's section 3.2
        norm_first=True,  # MAE
        memory_pos_embed=True,  # as RSP and ToBo implement the paper
        dropout=0.0,  # MAE
        packed_init=False,
        branches=[dict(targets=(1,), memory=(0,))],  # the future frame from the past frame
    ),
    # hidden patches of the future frame, pixels normalized in each patch
    head=dict(type='mmvidmae.PairReconstructionHead', norm_pix=True),
)
