# RSP (arXiv 2406.07398; github.com/huiwon-jang/RSP at 5ea2b91: file:line below). The class fixes the method: source
# whole, siamese encoder with a class token, cross-self decoder with mask tokens as queries, and two branches: the whole
# target from source and sampled token, its hidden patches from the visible ones. Pixels are normalized in each patch.
model = dict(
    type='mmvidmae.RSP',
    backbone=dict(arch='small', img_size=224, patch_size=16),
    masking=dict(mask_ratio=(0.0, 0.75)),  # main_pretrain_rsp.py:52
    neck=dict(decoder_dims=512, depth=8, num_heads=16),  # models_rsp.py:450-463
    stochastic=dict(
        num_variables=32,  # main_pretrain_rsp.py:57
        num_classes=32,  # main_pretrain_rsp.py:58
        kl_balance=0.2,  # main_pretrain_rsp.py:55
        free_bits=0.1,  # main_pretrain_rsp.py:56
    ),
    noise_scale=0.5,  # main_pretrain_rsp.py:53
    kl_weight=0.01,  # main_pretrain_rsp.py:54
)
