"""Scores of frozen encoders on the first frames of DAVIS sequences.

Example:
    python tools/experiments/frozen_scores.py configs/propagation/dinov2-vit-small-p14_dino_davis2017.py \\
        dinov2_vits14.safetensors --davis data/DAVIS --size 280 504 --frames 24 --out dinov2.json
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROTOCOLS = ('dino', 'cropmae')


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of configs/propagation, of which only the encoder is used')
    parser.add_argument('checkpoint', nargs='?', help='its weights (default: random ones)')
    parser.add_argument('--davis', required=True, help='folder in the layout of DAVIS; all its sequences are scored')
    parser.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'), required=True, help='of the input')
    parser.add_argument('--frames', type=int, default=24, help='first frames of each sequence (default: %(default)s)')
    parser.add_argument(
        '--protocols', nargs='+', default=PROTOCOLS, help=f'named protocols (default: {" ".join(PROTOCOLS)})'
    )
    parser.add_argument('--seed', type=int, default=0, help='of random weights (default: %(default)s)')
    parser.add_argument('--out', type=Path, help='JSON file for all scores')
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import torch  # noqa: E402
from mmcv.transforms import BaseTransform  # noqa: E402
from mmengine.evaluator import Evaluator  # noqa: E402
from torch import nn  # noqa: E402

from mmvidmae.apis import get_model  # noqa: E402
from mmvidmae.datasets import DAVISDataset  # noqa: E402
from mmvidmae.engine.hooks.weights_record_hook import RANDOM, identify  # noqa: E402
from mmvidmae.models.propagation import LabelPropagator, MaskLabels, propagate_features  # noqa: E402
from mmvidmae.registry import TRANSFORMS  # noqa: E402


@TRANSFORMS.register_module()
class FirstFrames(BaseTransform):
    """Cuts an annotated video to its first frames before they are loaded."""

    def __init__(self, count: int) -> None:
        self.count = count

    def transform(self, results: dict) -> dict:
        names = ('frame_paths', 'frame_names', 'gt_paths')
        return results | {name: results[name][: self.count] for name in names}


def propagation_scores(
    backbone: nn.Module,
    davis: str,
    frames: int,
    protocols: Sequence[str] | Mapping[str, str | dict] = PROTOCOLS,
    **load: Any,
) -> dict[str, Any]:
    """J&F of label propagation in each protocol.

    Args:
        backbone: Frozen encoder that returns feature maps.
        davis: Folder in the layout of DAVIS, of which all sequences are scored.
        frames: Number of first frames of each sequence to score.
        protocols: Names of protocols, or the options of each by the name that it gets in the scores.
        **load: Options of :class:`LoadVideoFrames` for the size of the input.
    """
    options = protocols if isinstance(protocols, Mapping) else {name: name for name in protocols}
    propagators = {name: LabelPropagator(backbone, protocol=protocol) for name, protocol in options.items()}
    names = sorted(path.name for path in Path(davis, 'JPEGImages/480p').iterdir() if path.is_dir())
    pipeline = [
        dict(type='mmvidmae.FirstFrames', count=frames),
        dict(type='mmvidmae.LoadVideoFrames', **load),
        dict(type='mmvidmae.PackVideoSequence'),
    ]
    dataset = DAVISDataset(davis, sequences=names, pipeline=pipeline)
    evaluators = {name: Evaluator(dict(type='mmvidmae.VideoSegmentationMetric')) for name in options}
    sequences = {name: {} for name in options}
    for index, video in enumerate(names):
        item = dataset[index]
        inputs, sample = item['inputs'], item['data_samples']
        (features,) = next(iter(propagators.values()))([inputs])
        for name, propagator in propagators.items():
            protocol = propagator.protocol
            labels = MaskLabels(sample.reference_masks, tuple(inputs.shape[-2:]), tuple(sample.out_shape), protocol)
            masks = [labels.decode(frame, soft) for frame, soft in propagate_features(iter(features), labels, protocol)]
            result = sample.clone()
            result.set_field(torch.stack(masks).numpy(), 'pred_masks')
            evaluators[name].process(data_samples=[result])
            one = Evaluator(dict(type='mmvidmae.VideoSegmentationMetric'))
            one.process(data_samples=[result])
            scores = one.evaluate(1)
            sequences[name][video] = {key.removeprefix('vos/'): float(value) for key, value in scores.items()}
    return {
        name: {key.removeprefix('vos/'): float(value) for key, value in evaluator.evaluate(len(names)).items()}
        | dict(sequences=sequences[name])
        for name, evaluator in evaluators.items()
    }


def main() -> None:
    args = make_parser().parse_args()
    torch.manual_seed(args.seed)
    backbone = get_model(args.config, args.checkpoint).backbone
    size = tuple(args.size)
    scores = propagation_scores(backbone, args.davis, args.frames, args.protocols, size=size)
    for protocol, values in scores.items():
        print(f'{protocol}: J {values["J-Mean"]:.1f}, J&F {values["J&F-Mean"]:.1f}')
    if args.out:
        weights = identify(args.checkpoint) if args.checkpoint else f'{RANDOM}, seed {args.seed}'
        record = dict(config=args.config, weights=weights, size=size, frames=args.frames, scores=scores)
        args.out.write_text(json.dumps(record, indent=2) + '\n')


if __name__ == '__main__':
    main()
