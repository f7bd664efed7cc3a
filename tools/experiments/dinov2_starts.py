"""DropMAE and SiamMAE started from DINOv2: pre-train for a number of CPU seconds, then score the start and each part.

OUT gets ``<method>-<encoder lr>-<seed>`` with the training, the encoder of each part as ``encoder_<part>.safetensors``
and its measures on held-out frames as ``early_<part>.json`` (part 0 is the start), and ``board`` with frozen scores, as
``board.py`` writes them. A run that was stopped continues with the same command.

DINOv2's positions are not trained. The encoders of the parts have those of the start, 37 a side, in place of the 8 of
the training.

Example:
    python tools/experiments/dinov2_starts.py siammae work_dirs/dinov2_vits14.safetensors work_dirs/small \\
        work_dirs/dinov2 --seconds 1200 --davis data/DAVIS
"""

import argparse
import json
from pathlib import Path

METHODS = ('dropmae', 'siammae')
FROZEN = 'configs/propagation/dinov2-vit-small-p14_cropmae_davis2017.py'
"""Config of the frozen encoder, from the repository's root, as in board.yml: its cells of the start can be copied."""
PROTOCOLS = 'dino,dino-no-window'
POSITIONS = 'backbone.pos_embed'


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('method', choices=METHODS)
    parser.add_argument('start', help='converted weights of DINOv2 ViT-S/14')
    parser.add_argument('data', type=Path, help='folder with clips and clips.txt, as small_pretraining.py prepares it')
    parser.add_argument('out', type=Path)
    parser.add_argument('--seconds', type=float, default=1200, help='CPU seconds of training (default: %(default)g)')
    parser.add_argument('--saves', type=int, default=4, help='parts of the training (default: %(default)s)')
    parser.add_argument('--lr', type=float, default=1e-5, help='of the encoder (default: %(default)g)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--score', type=int, nargs='+', metavar='PART', help='parts to score (default: all there are)')
    parser.add_argument('--score-only', action='store_true', help='do not train, for another process does')
    parser.add_argument('--davis', help='folder of DAVIS 2017; without it, there are no frozen scores')
    parser.add_argument('--frames', type=int, default=24, help='first frames of each sequence (default: %(default)s)')
    parser.add_argument('--pairs', type=int, default=128, help='held-out pairs to measure (default: %(default)s)')
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import board  # noqa: E402
import torch  # noqa: E402
from measures import held_out_pairs, load, measure_held_out  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.runner import Runner  # noqa: E402
from records import git_commit, machine  # noqa: E402
from small_pretraining import METHODS as ENTRIES  # noqa: E402
from small_pretraining import configure  # noqa: E402

from mmvidmae.converters import read_state_dict, write_state_dict  # noqa: E402
from mmvidmae.engine.hooks.weights_record_hook import identify  # noqa: E402
from mmvidmae.utils.files import atomic_write  # noqa: E402
from mmvidmae.utils.interrupt import leave_on_interrupt  # noqa: E402


def run_config(args: argparse.Namespace) -> Config:
    """Config of the training."""
    config = configure(
        args.method, args.data, seed=args.seed, saves=args.saves, seconds=args.seconds, model='vit-small-p14-dinov2'
    )
    config.model.backbone.init_cfg.checkpoint = args.start
    config.optim_wrapper.paramwise_cfg.lr_mults.backbone = args.lr / config.optim_wrapper.optimizer.lr
    config.custom_hooks = [hook for hook in config.custom_hooks if hook.type != 'mmvidmae.ReconstructionVisHook']
    config.work_dir = str(args.out / f'{args.method}-{args.lr:g}-{args.seed}')
    return config


def export_encoder(part: Path, start: str, encoder: Path) -> None:
    """Write the encoder of a checkpoint, with the positions of the start."""
    trained, own = read_state_dict(part), read_state_dict(start)
    write_state_dict({name: trained[name] for name in own} | {POSITIONS: own[POSITIONS]}, encoder, {})


def measure(part: Path | None, config: Config, args: argparse.Namespace) -> dict:
    """Measures of a checkpoint on held-out frames, or of the start with an untrained decoder."""
    batches = held_out_pairs(str(args.data), args.pairs, config.model.backbone.img_size)
    result = measure_held_out(load(config, part and str(part), args.seed), batches)
    result.update(weights=identify(str(part or args.start)), seed=args.seed, commit=git_commit(), **machine())
    if part is not None:
        meta = torch.load(part, 'cpu', weights_only=True)
        result.update(steps=meta['meta']['iter'], cpu_seconds=meta['message_hub']['runtime_info']['cpu_seconds'])
    return result


def main() -> None:
    args = make_parser().parse_args()
    config = run_config(args)
    run = Path(config.work_dir)
    if not (args.score_only or (run / f'part_{args.saves}.pth').exists()):
        Runner.from_cfg(config).train()
    rows = [board.Encoder('DINOv2 ViT-S/14', FROZEN, args.start)]
    title = ENTRIES[args.method].title
    there = [number for number in range(1, args.saves + 1) if (run / f'part_{number}.pth').exists()]
    for number in [0, *(args.score or there)]:
        part = run / f'part_{number}.pth' if number else None
        early = run / f'early_{number}.json'
        if not early.exists():
            result = measure(part, config, args)
            with atomic_write(early) as file:
                file.write_text(json.dumps(result, indent=1) + '\n')
        result = json.loads(early.read_text())
        loss = ', '.join(f'{name} {value:.3f}' for name, value in result['loss'].items())
        print(f'{title}, part {number}: matches {result["feature_accuracy"][-1]:.3f}; loss: {loss}', flush=True)
        if part:
            encoder = run / f'encoder_{number}.safetensors'
            if not encoder.exists():
                export_encoder(part, args.start, encoder)
            label = f'{title} from DINOv2, lr {args.lr:g}, seed {args.seed}, part {number} of {args.saves}'
            rows.append(board.Encoder(label, FROZEN, str(encoder)))
    if args.davis:
        options = ['--davis', args.davis, '--frames', str(args.frames), '--protocols', f'davis={PROTOCOLS}']
        asked = board.make_parser().parse_args([str(args.out / 'board'), *options])
        cells, problems = board.plan(asked, rows)
        failed = board.work(cells, asked.out, dict(davis=asked.davis), args.seed)
        print(board.tables(asked.out, rows))
        if failed or problems:
            raise SystemExit('; '.join([*(f'{name} failed' for name in failed), *problems]))


if __name__ == '__main__':
    with leave_on_interrupt('The same command continues.'):
        main()
