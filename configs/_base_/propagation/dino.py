# DINO's protocol (facebookresearch/dino, eval_video_segmentation.py): top-5, queue 7, square window 12, T 0.1. Its red
# deviation of .228 is a typo for ImageNet's .229 that published numbers contain.
protocol = dict(preset='dino')
data_preprocessor = dict(std=[0.228 * 255, 0.224 * 255, 0.225 * 255])
