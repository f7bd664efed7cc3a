# ViT-B/16 of mmpretrain itself: weights of its MAE, MoCo v3, DINO or supervised recipes, without conversion.
encoder = dict(type='mmpretrain.VisionTransformer', arch='base', img_size=224, patch_size=16, out_type='featmap')
