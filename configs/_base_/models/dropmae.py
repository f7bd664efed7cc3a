# DropMAE (arXiv 2304.00571) as its authors' code has it (github.com/jimmy-dq/DropMAE at 4de150d: file:line below).
model = dict(
    type='mmvidmae.DropMAE',
    data_preprocessor=dict(
        type='mmpretrain.VideoDataPreprocessor',
        mean=[123.675, 116.28, 103.53],  # ImageNet's, main_pretrain_kinetics.py:140-144
        std=[58.395, 57.12, 57.375],
        format_shape='NCHW',
    ),
    backbone=dict(
        type='mmvidmae.PairMAEViT',
        arch='base',
        img_size=224,
        patch_size=16,
        encoding='joint',  # the visible tokens of both frames are one sequence, models_mae.py:360-380
        frame_embed=True,  # learned identity embeddings from N(0, 1), models_mae.py:212-259
        with_cls_token=False,
    ),
    # 75 % of the tokens of both frames together, models_mae.py:331-356, 374
    masking=dict(type='mmvidmae.JointRandomMasking', mask_ratio=0.75),
    neck=dict(
        type='mmvidmae.JointPairDecoder',
        decoder_dims=512,  # models_mae.py:254-268, 404-409
        depth=8,
        num_heads=16,
        mlp_ratio=4.0,
        spatial_drop=0.1,  # P of ASAD, in every block, models_mae.py:26-64, 164-168
        share_heads=False,  # drops are sampled for each head
        asad_backend='auto',  # on GPUs Triton's kernels where they work, else 'torch'
        frame_embed=True,
    ),
    # hidden patches of both frames, pixels normalized in each patch, models_mae.py:420-433
    head=dict(type='mmvidmae.PairReconstructionHead', norm_pix=True),
)
