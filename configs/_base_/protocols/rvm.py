# RVM's evaluation (google-deepmind/representations4d at 75aca30, colabs/rvm_evaluation_demo.ipynb): CropMAE's protocol
# with pixels in 0..1, and VIP at 448 x 880.
_base_ = './cropmae.py'

protocol = dict(preset='rvm')
protocols = dict(vos=dict(preset='rvm'), vip=dict(preset='rvm'), jhmdb=dict(preset='rvm'))
test_pipelines = dict(
    vip=[dict(type='mmvidmae.LoadVideoFrames', size=(448, 880)), dict(type='mmvidmae.PackVideoSequence')],
)
model = dict(data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0]))
