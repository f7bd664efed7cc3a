_base_ = ['./droptrack_vit-base-p16-384_4xb32-300e_all.py', '../_base_/datasets/vot2018_sot.py']

model = dict(test_cfg=dict(test_mode='VOT'))  # the tracker is started again five frames after a failure

test_evaluator = dict(out_dir='work_dirs/{{ fileBasenameNoExtension }}/predictions')
