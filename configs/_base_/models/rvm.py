# RVM (arXiv 2512.13684). The model is that of the authors' demo (github.com/google-deepmind/representations4d at
# 75aca30: colabs/rvm_inference_demo.ipynb, cell "Define model"). There is no training code. What only a training needs
# is our reading, marked so.
model = dict(
    type='mmvidmae.RVM',
    num_frames=8,  # 4 sources and 4 targets, as in the demo
    # plain pixels in 0..1 (demo)
    data_preprocessor=dict(
        type='mmpretrain.VideoDataPreprocessor', mean=[0.0] * 3, std=[255.0] * 3, format_shape='NCHW'
    ),
    # sine-cosine positions of the flattened grid, class token without position, tanh approximation of GELU (demo)
    backbone=dict(
        type='mmvidmae.RecurrentViT',
        arch='small',
        img_size=256,  # demo
        patch_size=16,
        with_cls_token=True,
        num_sources=4,  # demo
        # depth: demo; hidden width: from the size of the released file, see configs/rvm/README.md; heads as in the ViT
        core=dict(type='mmvidmae.GatedCrossCore', depth=4, feedforward_channels=2048),
    ),
    # nothing of the sources, 95 % of each target (demo)
    masking=dict(type='mmvidmae.AsymmetricMasking', mask_ratio=(0.0, 0.0, 0.0, 0.0, 0.95, 0.95, 0.95, 0.95)),
    neck=dict(
        type='mmvidmae.CrossPairDecoder',
        decoder_dims=512,  # demo, as the other numbers of the decoder
        depth=8,
        num_heads=16,
        feedforward_channels=2048,
        order=('cross', 'ffn', 'self'),
        norm_first=True,
        norm_memory=False,
        memory_pos_embed=False,
        act_cfg=dict(type='GELU', approximate='tanh'),
        flat_pos_embed=True,
        num_offsets=64,  # frames from the first source to the target
        # each target from the states after all sources; our reading: equal weights
        branches=[
            dict(targets=(4,), memory=(0, 1, 2, 3), weight=0.25, name='frame4'),
            dict(targets=(5,), memory=(0, 1, 2, 3), weight=0.25, name='frame5'),
            dict(targets=(6,), memory=(0, 1, 2, 3), weight=0.25, name='frame6'),
            dict(targets=(7,), memory=(0, 1, 2, 3), weight=0.25, name='frame7'),
        ],
    ),
    # the paper: plain pixels; our reading: the squared error on hidden patches, as MAE and SiamMAE have it
    head=dict(type='mmvidmae.PairReconstructionHead', norm_pix=False),
)
