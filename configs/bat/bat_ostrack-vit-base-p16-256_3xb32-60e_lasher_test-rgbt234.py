# RGBT234 (arXiv:1805.08982) as distributed: <sequence>/{visible,infrared}/, visible.txt and infrared.txt. As in the
# paper, the tracker trained on LasHeR is tested on all 234 sequences.
_base_ = './bat_ostrack-vit-base-p16-256_3xb32-60e_lasher.py'

test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmvidmae.RGBT234Dataset',
        data_root='data/RGBT234/',
        test_mode=True,
        pipeline=_base_.test_pipeline,
    )
)
test_evaluator = dict(protocol='rgbt234')
