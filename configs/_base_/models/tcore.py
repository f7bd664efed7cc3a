# T-CoRe (arXiv 2503.15096). Numbers are those of the authors' code (github.com/yafeng19/T-CORE: commit:file:line below;
# the default is 0ffcabe:base_model/configs/ssl_default_config.yaml).
model = dict(
    type='mmvidmae.TCoRe',
    data_preprocessor=dict(
        type='mmpretrain.VideoDataPreprocessor',
        mean=[123.675, 116.28, 103.53],  # 67c8bf9:base_model/data/transforms.py:12-13: ImageNet's
        std=[58.395, 57.12, 57.375],
        format_shape='NCHW',
    ),
    backbone=dict(
        type='mmvidmae.RegisterViT',
        arch='small',  # student.arch
        img_size=224,  # crops.global_crops_size
        patch_size=16,  # student.patch_size
        num_registers=4,  # student.num_register_tokens
        layer_scale_init_value=1e-5,  # student.layerscale
        drop_path_rate=0.1,  # student.drop_path_rate, in all layers (drop_path_uniform)
    ),
    # half of the global crops, their ratios in equal slices of 0.1 to 0.5 (ibot.mask_*)
    masking=dict(
        type='mmvidmae.BlockMasking',
        share=0.5,
        ratio=(0.1, 0.5),
        min_patches=4,  # 67c8bf9:base_model/data/masking.py:11, also the next
        min_aspect=0.3,
    ),
    neck=dict(
        type='mmvidmae.LatentCrossDecoder',
        depth=1,  # auxiliary.num_blocks
        num_heads=16,  # auxiliary.attention_head_num
        cross_weight=4.0,  # auxiliary.attn_mul
        eps=1e-5,  # torch.nn.LayerNorm's
    ),
    # for class and patch tokens (ibot.separate_head is false)
    head=dict(
        type='mmvidmae.PrototypeHead',
        num_prototypes=65536,  # dino.head_n_prototypes
        hidden_dims=2048,  # dino.head_hidden_dim
        bottleneck_dims=256,  # dino.head_bottleneck_dim
        num_fcs=3,  # dino.head_nlayers
    ),
    teacher=dict(type='mmvidmae.EMATeacher', center_momentum=0.9),  # 67c8bf9:base_model/loss/ibot_patch_loss.py:30
    # the current frame from the past and from the future frame (scripts/pretrain.sh:14-15)
    branches=[dict(memory=(0,), weight=0.8, name='past'), dict(memory=(2,), weight=0.8, name='future')],
    losses=[
        dict(type='mmvidmae.ClassPrototypeLoss', weight=1.0, temperature=0.1),  # dino.loss_weight
        dict(type='mmvidmae.PatchPrototypeLoss', weight=1.0, temperature=0.1),  # ibot.loss_weight
        dict(type='mmvidmae.BranchDifferenceLoss', weight=20.0),  # scripts/pretrain.sh:16
        dict(type='mmvidmae.KoLeoLoss', weight=0.1),  # dino.koleo_loss_weight
    ],
)
