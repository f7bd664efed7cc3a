_base_ = ['./droptrack_vit-base-p16-384_4xb32-100e_got10k.py', '../_base_/datasets/got10k-val_sot.py']

test_evaluator = dict(out_dir='work_dirs/{{ fileBasenameNoExtension }}/predictions')
