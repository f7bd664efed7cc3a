"""Scores of frozen encoders in label propagation, on the first frames of annotated videos."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmcv.transforms import BaseTransform
from torch import nn

from mmvidmae.datasets import DAVISDataset
from mmvidmae.datasets.video_sequences.base import VideoSequenceDataset
from mmvidmae.evaluation.metrics import VideoSegmentationMetric
from mmvidmae.evaluation.metrics.video_metric import VideoMetric
from mmvidmae.models.propagation import LabelPropagator
from mmvidmae.registry import TRANSFORMS

PROTOCOLS = ('dino', 'cropmae')
"""Protocols of the comparison of methods."""


@TRANSFORMS.register_module()
class FirstFrames(BaseTransform):
    """Cuts an annotated video to its first frames before they are loaded. All frames if ``count`` is None."""

    def __init__(self, count: int | None) -> None:
        self.count = count

    def transform(self, results: dict) -> dict:
        names = {'frame_paths', 'frame_names', 'gt_paths', 'gt_joints'} & results.keys()
        return results | {name: results[name][: self.count] for name in names}


def pipeline(frames: int | None, **load: Any) -> list[dict]:
    """Steps that load the first frames of a video; ``load`` are options of :class:`LoadVideoFrames`."""
    return [
        dict(type='mmvidmae.FirstFrames', count=frames),
        dict(type='mmvidmae.LoadVideoFrames', **load),
        dict(type='mmvidmae.PackVideoSequence'),
    ]


def video_scores(propagator: LabelPropagator, dataset: VideoSequenceDataset, metric: VideoMetric) -> dict[str, Any]:
    """Propagate the labels of all videos of a dataset.

    Args:
        propagator: Model with encoder and protocol.
        dataset: Annotated videos.
        metric: What scores a video.

    Returns:
        Scores of the metric in per cent, and the scores of each video in ``sequences``.
    """
    metric.dataset_meta = dataset.metainfo
    videos = {}
    for item in dataset:
        (sample,) = propagator([item['inputs']], [item['data_samples']], mode='predict')
        videos[sample.video_name] = metric.score_video(sample.to_dict())
    summary = metric.summarize(videos)
    return summary.metrics | dict(sequences=summary.tables['per_sequence'])


def propagation_scores(
    backbone: nn.Module, davis: str, frames: int, protocols: Sequence[str] = PROTOCOLS, **load: Any
) -> dict[str, Any]:
    """J&F of label propagation in each protocol.

    Args:
        backbone: Frozen encoder that returns feature maps.
        davis: Folder in the layout of DAVIS, of which all sequences are scored.
        frames: Number of first frames of each sequence to score.
        protocols: Names of protocols.
        **load: Options of :class:`LoadVideoFrames` for the size of the input.
    """
    device = next(backbone.parameters()).device
    names = sorted(path.name for path in Path(davis, 'JPEGImages/480p').iterdir() if path.is_dir())
    dataset = DAVISDataset(davis, sequences=names, pipeline=pipeline(frames, **load))
    return {
        protocol: video_scores(LabelPropagator(backbone, protocol).to(device), dataset, VideoSegmentationMetric())
        for protocol in protocols
    }
