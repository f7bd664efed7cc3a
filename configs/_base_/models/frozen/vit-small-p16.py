# ViT-S/16 of this package, as pre-trained at 224 x 224 by DropMAE, TwinMAE or SiamMAE, or converted from other code,
# which interpolates position embeddings as DINO does.
encoder = dict(type='mmvidmae.PairMAEViT', arch='small', img_size=224, patch_size=16, pos_interp='dino')
