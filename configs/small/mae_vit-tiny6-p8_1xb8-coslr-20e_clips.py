# MAE on single frames, with the same budget: the frames of a pair are two pictures, each cropped, flipped and masked
# (75 %) by itself, and neither encoder nor decoder sees the other one.
_base_ = './dropmae_vit-tiny6-p8_1xb8-coslr-20e_clips.py'

model = dict(
    type='mmvidmae.PairMAE',
    backbone=dict(encoding='siamese', frame_embed=False, with_cls_token=True),
    masking=dict(_delete_=True, type='mmvidmae.PerFrameRandomMasking', mask_ratio=0.75),
    neck=dict(_delete_=True, type='mmvidmae.FrameDecoder', decoder_dims=128, depth=4, num_heads=4),
)
