# SiamMAE as CropMAE's authors reproduce it (github.com/alexandre-eymael/CropMAE at 5d0dab2: file:line below): another
# decoder than siammae.py.
_base_ = './siammae.py'

model = dict(
    neck=dict(
        decoder_dims=256,  # models/SiamMAE.py:139, also the next two
        depth=4,
        num_heads=8,
        feedforward_channels=2048,  # DecoderBlock.py:42-105, also what follows
        order=('cross', 'ffn', 'self'),
        norm_first=False,
        memory_pos_embed=False,
        dropout=0.1,
        packed_init=True,  # of torch.nn.MultiheadAttention
    )
)
