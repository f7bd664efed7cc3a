# DropSeg (DropMAE, section 4) with the numbers of its authors' training (github.com/jimmy-dq/DropSeg at 7f5e082).
model = dict(
    type='mmvidmae.DropSeg',
    backbone=dict(
        type='mmvidmae.MemoryMAEViT',
        arch='base',
        img_size=384,
        patch_size=16,
        frame_embed=True,
        drop_path_rate=0.1,  # util/hyper_para.py:35
    ),
    neck=dict(type='mmvidmae.DeconvPyramid', channels=(512, 256)),
    decode_head=dict(type='mmvidmae.MaskDecoder', channels=(512, 256)),
    # AttributeScheduleHook of segmentation_runtime.py lowers the share to the hardest 15 % (losses.py:26-46)
    loss_decode=dict(type='mmvidmae.BootstrappedCrossEntropy', top_share=1.0),
)
