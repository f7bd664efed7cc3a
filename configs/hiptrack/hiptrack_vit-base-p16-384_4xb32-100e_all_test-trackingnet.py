_base_ = ['./hiptrack_vit-base-p16-384_4xb32-100e_all.py', '../_base_/datasets/trackingnet_sot.py']
