"""Export a model to ONNX or torch.export, and check the file against PyTorch.

DropTrack, OSTrack and BAT are exported as trackers, DropSeg as two parts (OUT_memory.onnx, OUT_segment.onnx), other
models as encoders, whose input may have any size that is a multiple of the patch size. The files hold what a caller
must know: sizes, normalization, crops. docs/deployment.md describes inputs and outputs.

Example:
    python tools/deployment/export.py CONFIG CHECKPOINT tracker.onnx
    python tools/deployment/export.py CONFIG CHECKPOINT encoder.onnx --size 224 224   # one input size only
    python tools/deployment/export.py CONFIG CHECKPOINT tracker.onnx --int8    # also tracker_int8.onnx
    python tools/deployment/export.py CONFIG CHECKPOINT encoder.pt2    # a program of torch.export
"""

import argparse

from mmvidmae.utils.interrupt import leave_on_interrupt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the model, or its name in the model index')
    parser.add_argument('checkpoint', help="its checkpoint, or 'none' for random weights")
    parser.add_argument('out', help='file to write: .onnx, or .pt2 for torch.export')
    parser.add_argument(
        '--size',
        nargs=2,
        type=int,
        metavar=('HEIGHT', 'WIDTH'),
        help='one input size in pixels for an encoder or DropSeg (default: any size)',
    )
    parser.add_argument('--opset', type=int, default=18, help='operator set of ONNX (default: %(default)s)')
    parser.add_argument('--int8', action='store_true', help='also write NAME_int8.onnx: faster and less exact')
    args = parser.parse_args()
    with leave_on_interrupt('Files named above are complete, others are not there.'):
        export(parser, args)


def export(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    from mmvidmae.apis import get_model  # these take seconds
    from mmvidmae.deployment import export_model

    try:
        model = get_model(args.config, None if args.checkpoint == 'none' else args.checkpoint, device='cpu')
        size = None if args.size is None else tuple(args.size)
        files = export_model(model, args.out, size, args.opset, args.int8)
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    for file in files:
        megabytes = file.path.stat().st_size / 1e6
        print(f'{file.path}: {megabytes:.1f} MB, differs from PyTorch by at most {file.difference:.2g}')


if __name__ == '__main__':
    main()
