# A frozen encoder that follows a box by label propagation. A config adds the encoder and the side of the crop.
model = dict(
    type='mmvidmae.FrozenTracker',
    search_factor=4.0,
    size_rate=0.5,
    max_growth=1.2,
    matcher=dict(
        type='mmvidmae.PropagationMatcher',
        topk=5,
        queue=7,
        temperature=0.1,
        radius=None,
        sigma=0.7,
        reach=1.6,
        floor=0.5,
    ),
    data_preprocessor=dict(type='mmvidmae.CropPreprocessor', bgr_to_rgb=True),
)
