# Co-Settle (arXiv 2603.26597) as its authors' code has it (github.com/yafeng19/Co-Settle at 3a01eb0: file:line below).
# A recipe names the frozen weights.
model = dict(
    type='mmvidmae.CoSettle',
    data_preprocessor=dict(
        type='mmpretrain.VideoDataPreprocessor',
        mean=[123.675, 116.28, 103.53],  # ImageNet's
        std=[58.395, 57.12, 57.375],
        format_shape='NCHW',
    ),
    # ViT-B/16 (scripts/train.sh); linear layer, tanh, LayerNorm of eps 1e-5 on its patch tokens
    # (ST_adapter.py:21-24,39-43)
    backbone=dict(
        type='mmvidmae.AdaptedViT',
        encoder=dict(type='mmvidmae.PairMAEViT', arch='base', img_size=224, patch_size=16, with_cls_token=True),
    ),
    temperature=0.03,  # models/mae/models_mae.py:321-392
    reg_weight=3.0,  # scripts/train.sh:4-26
    reg='kl',  # a sum over tokens and maps, divided by the batch (models/mae/models_mae.py:315-318)
    shift_ratio=10.0,  # 14 to 154 cells a side (models/mae/models_mae.py:226-257)
)
