# ViT-L/16 with the recurrent core of RVM, which runs through the whole video: its states are the features.
encoder = dict(type='mmvidmae.RecurrentViT', arch='large', img_size=256, patch_size=16, core=dict(depth=4))
