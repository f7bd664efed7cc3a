# Any backbone of timm by its name, here DINOv3 ViT-S/16. Weights of timm or of the authors:
# tools/model_converters/convert.py --timm-model NAME
encoder = dict(type='mmvidmae.TimmBackbone', model_name='vit_small_patch16_dinov3')
