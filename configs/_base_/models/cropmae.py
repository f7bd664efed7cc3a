# CropMAE (arXiv 2403.17823; github.com/alexandre-eymael/CropMAE at 5d0dab2: file:line below).
#
# The class fixes the method: SiamMAE's encoder and loss, the source view whole, the target view predicted.
model = dict(
    type='mmvidmae.CropMAE',
    backbone=dict(arch='small', img_size=224, patch_size=16),  # models/SiamMAE.py:139
    masking=dict(mask_ratio=(0.0, 0.985)),  # scripts/train_cropmae_in.sh:75; 2 of 196 patches of the target are visible
    neck=dict(
        decoder_dims=256,  # scripts/train_cropmae_in.sh:67-69, also the next two
        depth=4,
        num_heads=8,
        feedforward_channels=2048,  # models/components/DecoderBlock.py:42, whatever the width
        order=('cross', 'ffn', 'self'),  # :103-105
        norm_first=False,
        memory_pos_embed=False,  # models/SiamMAE.py:99
        dropout=0.1,  # DecoderBlock.py:42
        packed_init=True,  # of torch.nn.MultiheadAttention
    ),
)
