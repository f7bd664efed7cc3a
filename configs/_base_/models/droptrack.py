# DropTrack (DropMAE, section 4): OSTrack with frame identities, as its authors' code has it
# (github.com/jimmy-dq/DropTrack at 4364304: file:line below).
model = dict(
    type='mmvidmae.DropTrack',
    template_size=192,
    search_size=384,
    template_factor=2.0,
    search_factor=5.0,
    ce_template_range='CTR_POINT',  # scores are those of the template's center cell, ce_utils.py:22-35
    data_preprocessor=dict(type='mmvidmae.CropPreprocessor', bgr_to_rgb=True),
    backbone=dict(
        type='mmvidmae.OneStreamViT',
        arch='base',
        patch_size=16,
        frame_embed=True,  # vit_ce.py:130-131; OSTrack has none
        ce_loc=(3, 6, 9),  # attn_blocks.py:92-103
        ce_keep_ratio=(0.7, 0.7, 0.7),
        drop_path_rate=0.1,
    ),
    head=dict(
        type='mmvidmae.CenterHead',
        channels=256,  # head.py:98-201
        loss_weights=(1.0, 2.0, 5.0),  # focal, GIoU, L1, actors/ostrack.py:77-104
    ),
)
