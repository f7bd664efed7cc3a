"""Scores of frozen encoders on the first frames of DAVIS sequences."""

from pathlib import Path
from typing import Any

import torch
from mmcv.transforms import BaseTransform
from mmengine.evaluator import Evaluator
from torch import nn

from mmvidmae.datasets import DAVISDataset
from mmvidmae.models.propagation import LabelPropagator, MaskLabels, propagate_features
from mmvidmae.registry import TRANSFORMS

PROTOCOLS = ('dino', 'cropmae')


@TRANSFORMS.register_module()
class FirstFrames(BaseTransform):
    """Cuts an annotated video to its first frames before they are loaded."""

    def __init__(self, count: int) -> None:
        self.count = count

    def transform(self, results: dict) -> dict:
        names = ('frame_paths', 'frame_names', 'gt_paths')
        return results | {name: results[name][: self.count] for name in names}


def propagation_scores(backbone: nn.Module, davis: str, short_side: int, frames: int) -> dict[str, Any]:
    """J&F of label propagation in each protocol.

    Args:
        backbone: Frozen encoder that returns feature maps.
        davis: Folder in the layout of DAVIS, of which all sequences are scored.
        short_side: Short side of the frames in pixels.
        frames: Number of first frames of each sequence to score.
    """
    propagators = {name: LabelPropagator(backbone, protocol=name) for name in PROTOCOLS}
    names = sorted(path.name for path in Path(davis, 'JPEGImages/480p').iterdir() if path.is_dir())
    pipeline = [
        dict(type='mmvidmae.FirstFrames', count=frames),
        dict(
            type='mmvidmae.LoadVideoFrames',
            short_side=short_side,
            divisor=getattr(backbone, 'encoder', backbone).patch_size,
        ),
        dict(type='mmvidmae.PackVideoSequence'),
    ]
    dataset = DAVISDataset(davis, sequences=names, pipeline=pipeline)
    evaluators = {name: Evaluator(dict(type='mmvidmae.VideoSegmentationMetric')) for name in PROTOCOLS}
    sequences = {name: {} for name in PROTOCOLS}
    for index, video in enumerate(names):
        item = dataset[index]
        inputs, sample = item['inputs'], item['data_samples']
        (features,) = propagators[PROTOCOLS[0]]([inputs])
        for name, propagator in propagators.items():
            protocol = propagator.protocol
            labels = MaskLabels(sample.reference_masks, tuple(inputs.shape[-2:]), tuple(sample.out_shape), protocol)
            masks = [labels.decode(frame, soft) for frame, soft in propagate_features(iter(features), labels, protocol)]
            result = sample.clone()
            result.set_field(torch.stack(masks).numpy(), 'pred_masks')
            evaluators[name].process(data_samples=[result])
            one = Evaluator(dict(type='mmvidmae.VideoSegmentationMetric'))
            one.process(data_samples=[result])
            sequences[name][video] = one.evaluate(1)['vos/J&F-Mean']
    return {
        name: {key.removeprefix('vos/'): float(value) for key, value in evaluator.evaluate(len(names)).items()}
        | dict(sequences={video: float(value) for video, value in sequences[name].items()})
        for name, evaluator in evaluators.items()
    }
