"""Scores of frozen encoders in label propagation, on the first frames of annotated videos."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmvidmae.datasets import DAVISDataset
from mmvidmae.datasets.video_sequences.base import VideoSequenceDataset
from mmvidmae.evaluation.functional import joint_distances, keypoint_accuracy
from mmvidmae.evaluation.metrics import PoseMetric, VideoSegmentationMetric
from mmvidmae.evaluation.metrics.video_metric import Summary, VideoMetric
from mmvidmae.models.propagation import PROTOCOLS as PRESETS
from mmvidmae.models.propagation import LabelPropagator
from mmvidmae.registry import TRANSFORMS

NO_WINDOW = '-no-window'
PROTOCOLS = ('dino', f'dino{NO_WINDOW}', 'cropmae')
"""Protocols of the comparison of methods, see :func:`protocol_options`."""


def protocol_options(name: str) -> dict[str, Any]:
    """Options of a protocol of :class:`LabelPropagator`. With ``-no-window`` after its name, a patch is compared with
    all patches, so that nothing but the features tells where a label belongs.

    Raises:
        ValueError: If there is no such protocol.
    """
    preset = name.removesuffix(NO_WINDOW)
    if preset not in PRESETS:
        raise ValueError(f'there is no protocol {name}: they are {", ".join(PRESETS)}, each also with {NO_WINDOW}')
    return dict(preset=preset, **(dict(radius=None) if name.endswith(NO_WINDOW) else {}))


@TRANSFORMS.register_module()
class FirstFrames(BaseTransform):
    """Cuts an annotated video to its first frames before they are loaded. All frames if ``count`` is None."""

    def __init__(self, count: int | None) -> None:
        self.count = count

    def transform(self, results: dict) -> dict:
        names = {'frame_paths', 'frame_names', 'gt_paths', 'gt_joints'} & results.keys()
        return results | {name: results[name][: self.count] for name in names}


class StillLabels:
    """Baseline without an encoder: the labels of the first frame in all frames. It is called as a
    :class:`LabelPropagator` is, and the pixels do not count."""

    def __call__(self, inputs: Sequence[Tensor], data_samples: Sequence[DataSample], mode: str) -> list[DataSample]:
        for frames, sample in zip(inputs, data_samples, strict=True):
            poses = 'reference_joints' in sample
            first = sample.reference_joints if poses else sample.reference_masks[0]
            labels = np.repeat(np.asarray(first)[None], len(frames), axis=0)
            sample.set_field(labels, 'pred_joints' if poses else 'pred_masks')
        return list(data_samples)


class MovedPoseMetric(PoseMetric):
    """PCK, and ``moved PCK@...``: that of the joints that are more than 0.1 (in PCK's units) from where they were in
    the first frame. Labels that stay in place have no right one among these at 0.1, so they cannot hide there."""

    def score_video(self, sample: Mapping[str, Any]) -> np.ndarray:
        """Relative distances ``(2, T - 1, J)``: of all joints, and with NaN for those that have not moved."""
        true = np.asarray(sample['gt_joints'])
        motion = joint_distances(np.repeat(true[:1], len(true), axis=0), true)
        distances = super().score_video(sample)
        return np.stack((distances, np.where(motion > 0.1, distances, np.nan)))

    def summarize(self, videos: dict[str, np.ndarray]) -> Summary:
        """Compute both scores, the mean over joints of all videos."""
        summary = super().summarize({name: distances for name, (distances, _) in videos.items()})
        moved = np.concatenate([distances for _, distances in videos.values()])
        if not np.isnan(moved).all():
            values = keypoint_accuracy(moved, self.thresholds)[1]
            summary.metrics.update({f'moved {name}': value for name, value in self._row(values).items()})
        return summary


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
        protocols: Names of protocols, see :func:`protocol_options`.
        **load: Options of :class:`LoadVideoFrames` for the size of the input.
    """
    device = next(backbone.parameters()).device
    names = sorted(path.name for path in Path(davis, 'JPEGImages/480p').iterdir() if path.is_dir())
    dataset = DAVISDataset(davis, sequences=names, pipeline=pipeline(frames, **load))
    scores = {}
    for protocol in protocols:
        propagator = LabelPropagator(backbone, protocol_options(protocol)).to(device)
        scores[protocol] = video_scores(propagator, dataset, VideoSegmentationMetric())
    return scores
