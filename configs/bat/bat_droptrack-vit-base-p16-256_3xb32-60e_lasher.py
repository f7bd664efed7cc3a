# BAT ViT-B/16 from DropTrack, whose identities are kept for both modalities. Position embeddings of 384 pixels are
# interpolated bilinearly, as in BAT's forks (github.com/penghao112104/SFETrack at c2cc4e2:
# lib/models/bat/ostrack_adapter.py). CHECKPOINT is a DropTrack checkpoint.
_base_ = './bat_ostrack-vit-base-p16-256_3xb32-60e_lasher.py'

model = dict(backbone=dict(frame_embed=True, interpolate_mode='bilinear'))
