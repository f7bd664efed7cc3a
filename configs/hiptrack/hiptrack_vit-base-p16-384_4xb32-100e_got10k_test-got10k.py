_base_ = ['./hiptrack_vit-base-p16-384_4xb32-100e_got10k.py', '../_base_/datasets/got10k_sot.py']
