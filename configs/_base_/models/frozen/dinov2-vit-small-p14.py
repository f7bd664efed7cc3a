# DINOv2 ViT-S/14, whose weights tools/model_converters/get_dinov2.py gets. Its learned positions are for 518 x 518
# pixels; Hugging Face's code and the ONNX graph interpolate them to the size of the grid.
encoder = dict(type='mmvidmae.PairMAEViT', arch='small', img_size=518, patch_size=14)
