_base_ = ['./droptrack_vit-base-p16-256_4xb32-300e_all.py', '../_base_/datasets/lasot_sot.py']

test_evaluator = dict(out_dir='work_dirs/{{ fileBasenameNoExtension }}/predictions')
