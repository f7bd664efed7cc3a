"""The command line that the inference programs share. Imports nothing that takes long."""

import argparse
from typing import Any


def make_parser(
    description: str | None, vis_format: str = '.mp4', save_vis: bool = True, or_onnx: bool = False
) -> argparse.ArgumentParser:
    """Make a parser with the arguments that all inference programs have.

    Args:
        description: Docstring of the program.
        vis_format: Default suffix of pictures.
        save_vis: Whether pictures are saved by default.
        or_onnx: Whether the model may be an ONNX file, which needs no checkpoint.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    alternative = ', or an exported model (.onnx), which needs no checkpoint' if or_onnx else ''
    parser.add_argument('config', help='config of the model, or its name in the model index' + alternative)
    parser.add_argument(
        'checkpoint', nargs='?' if or_onnx else None, help="its checkpoint, or 'none' for random weights"
    )
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: a GPU if there is one)')
    parser.add_argument(
        '--out-dir', default='outputs', help='folder for all files, with preds/ and vis/ (default: %(default)s)'
    )
    flag = argparse.BooleanOptionalAction
    parser.add_argument('--save-pred', action=flag, default=True, help='whether to write predictions (default: yes)')
    default = 'yes' if save_vis else 'no'
    parser.add_argument('--save-vis', action=flag, default=save_vis, help=f'whether to draw them (default: {default})')
    parser.add_argument('--vis-format', default=vis_format, help='suffix of the drawing (default: %(default)s)')
    parser.add_argument('--fps', type=float, help='frames per second of a drawn video (default: as in the source)')
    return parser


def model_options(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of an inferencer's constructor."""
    weights = None if args.checkpoint == 'none' else args.checkpoint
    return dict(model=args.config, weights=weights, device=args.device)


def output_options(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of an inferencer's call that say what is written."""
    return {name: getattr(args, name) for name in ('out_dir', 'save_pred', 'save_vis', 'vis_format', 'fps')}
