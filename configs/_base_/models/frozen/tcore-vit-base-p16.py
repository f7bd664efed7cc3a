# ViT-B/16 of T-CoRe: registers, LayerScale, learned position embedding, for other sizes interpolated with antialias.
encoder = dict(type='mmvidmae.RegisterViT', arch='base', img_size=224, patch_size=16, num_registers=4)
