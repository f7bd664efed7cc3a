# MAE on single frames, with the same budget: the frames of a pair are two pictures, each cropped, flipped and masked
# (75 %) by itself, and neither encoder nor decoder sees the other one.
_base_ = './dropmae.py'

model = dict(
    type='mmvidmae.PairMAE',
    backbone=dict(encoding='siamese', with_cls_token=True),
    masking=dict(type='mmvidmae.PerFrameRandomMasking', mask_ratio=0.75),
    neck=dict(type='mmvidmae.FrameDecoder'),
)
