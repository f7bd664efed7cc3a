# DropTrack at OSTrack's smaller size: template 128, search region 256 and four times the target's size.
_base_ = './droptrack.py'

model = dict(template_size=128, search_size=256, search_factor=4.0)
