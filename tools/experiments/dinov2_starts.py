"""DropMAE and SiamMAE started from DINOv2: pre-train for a number of CPU seconds, then score the start and each part.

The scores are J&F of frozen label propagation and the accuracy of matches under known motion. DINOv2's positions are
not trained. For the scores they are those of the start, 37 a side, instead of the 8 of the training.

Example (the first command prepares the clips):
    python tools/experiments/small_pretraining.py VIDEOS work_dirs/small --methods mae --epochs 2
    python tools/experiments/dinov2_starts.py siammae checkpoints/dinov2_vits14.safetensors work_dirs/small \\
        work_dirs/dinov2 --seconds 1200 --davis data/DAVIS
"""

import argparse
import json
from pathlib import Path
from typing import Any

from mmvidmae.utils.interrupt import leave_on_interrupt

ROOT = Path(__file__).resolve().parents[2]
FROZEN = ROOT / 'configs/propagation/dinov2-vit-small-p14_dino_davis2017.py'


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('method', choices=('dropmae', 'siammae'))
    parser.add_argument('start', type=Path, help='converted weights of DINOv2 ViT-S/14')
    parser.add_argument('data', type=Path, help='folder with clips and clips.txt, as small_pretraining.py prepares it')
    parser.add_argument('out', type=Path, help='runs and scores are in OUT/<method>-<encoder lr>-<seed>')
    parser.add_argument('--seconds', type=float, default=1200, help='CPU seconds of training (default: %(default)g)')
    parser.add_argument('--saves', type=int, default=6, help='parts of the training (default: %(default)s)')
    parser.add_argument('--lr', type=float, default=1e-5, help='of the encoder (default: %(default)g)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--davis', help='folder in the layout of DAVIS; without it nothing is scored')
    parser.add_argument('--score-only', action='store_true', help='score the parts that are there, without training')
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import torch  # noqa: E402
from frozen_scores import propagation_scores  # noqa: E402
from measures import held_out_pairs  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.runner import Runner  # noqa: E402
from torch import nn  # noqa: E402

from mmvidmae.apis import feature_accuracy, get_model, warp_frames  # noqa: E402
from mmvidmae.engine.hooks.weights_record_hook import identify  # noqa: E402
from mmvidmae.utils.files import atomic_write  # noqa: E402

SIZE, FRAMES = (280, 504), 24  # of the sequences
INPUT, PAIRS = 112, 128  # of the frames under known motion
CHOSEN = dict(dino='dino', cropmae='cropmae', no_window=dict(preset='dino', radius=None))


def run_config(method: str, start: Path, data: Path, seconds: float, saves: int, lr: float, seed: int) -> Config:
    """Config of a run on prepared clips with this rate of the encoder."""
    import time_budget  # noqa: F401 (registers the loop)

    config = Config.fromfile(ROOT / f'configs/small/{method}_vit-small-p14-dinov2_1xb8-coslr-20e_clips.py')
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.dataset.data_root = str(data)
    config.model.backbone.init_cfg.checkpoint = str(start)
    config.optim_wrapper.paramwise_cfg.lr_mults.backbone = lr / config.optim_wrapper.optimizer.lr
    config.train_cfg = dict(type='TimedTrainLoop', seconds=seconds, saves=saves)
    config.param_scheduler = None
    config.default_hooks.checkpoint.max_keep_ckpts = 1  # to resume from
    config.custom_hooks = [hook for hook in config.custom_hooks if hook.type != 'mmvidmae.ReconstructionVisHook']
    config.randomness = dict(seed=seed)
    config.resume = True
    return config


def load_encoder(start: Path, checkpoint: Path | None) -> nn.Module:
    """DINOv2's frozen encoder, with the trained weights of a checkpoint but its own positions."""
    model = get_model(FROZEN, start, 'cpu')
    if checkpoint is not None:
        own, trained = model.backbone.state_dict(), torch.load(checkpoint, 'cpu', weights_only=True)['state_dict']
        trained = {name: trained[f'backbone.{name}'] for name in own if name != 'pos_embed'}
        model.backbone.load_state_dict(own | trained)
    return model


def score(start: Path, checkpoint: Path | None, data: Path, davis: str) -> dict[str, Any]:
    """Scores of the encoder of a checkpoint, or of the start."""
    model = load_encoder(start, checkpoint)
    result: dict[str, Any] = dict(weights=identify(str(checkpoint or start)))
    if checkpoint is not None:
        meta = torch.load(checkpoint, 'cpu', weights_only=True)
        result.update(steps=meta['meta']['iter'], cpu_seconds=meta['message_hub']['runtime_info']['cpu_seconds'])
    inputs = torch.cat([batch['inputs'][:, 1] for batch in held_out_pairs(str(data), PAIRS, INPUT)])
    grid = INPUT // model.backbone.patch_size
    matches = feature_accuracy(model, warp_frames(inputs, (grid, grid)))
    result.update(feature_accuracy=matches.accuracy, feature_chance=matches.chance)
    result.update(size=SIZE, frames=FRAMES, scores=propagation_scores(model.backbone, davis, FRAMES, CHOSEN, size=SIZE))
    return result


def main() -> None:
    args = make_parser().parse_args()
    work_dir = args.out / f'{args.method}-{args.lr:g}-{args.seed}'
    if not args.score_only:
        config = run_config(args.method, args.start, args.data, args.seconds, args.saves, args.lr, args.seed)
        config.work_dir = str(work_dir)
        Runner.from_cfg(config).train()
    if not args.davis:
        return
    parts = sorted(work_dir.glob('part_*.pth'), key=lambda path: int(path.stem.rpartition('_')[2]))
    jobs = {args.out / 'start.json': None} | {path.with_suffix('.json'): path for path in parts}
    for out, checkpoint in jobs.items():
        if not out.exists():
            result = score(args.start, checkpoint, args.data, args.davis)
            with atomic_write(out) as part:
                part.write_text(json.dumps(result, indent=2) + '\n')
        result = json.loads(out.read_text())
        rows = [f'{name} J&F {values["J&F-Mean"]:.1f}' for name, values in result['scores'].items()]
        rows.append(f'matches {result["feature_accuracy"][-1]:.3f}')
        print(f'{out.stem}, {result.get("cpu_seconds", 0):.0f} CPU s: {", ".join(rows)}')


if __name__ == '__main__':
    with leave_on_interrupt('The same command continues.'):
        main()
