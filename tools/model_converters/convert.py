"""Convert pre-trained weights between formats. Files from any source are read safely.

The names of the parameters determine the source format. If a parameter cannot be converted, the program prints all
reasons, writes nothing and exits with code 1. ``--encoder-only`` drops decoders and heads. The output has only tensors
and a few strings. Its suffix determines the file format: ``.safetensors``, or any other for ``torch.save``.

Examples:
    python tools/model_converters/convert.py DropMAE_k400_1600E.pth dropmae.pth
    python tools/model_converters/convert.py DropTrack_k700_800E_alldata.pth.tar encoder.safetensors --encoder-only
    python tools/model_converters/convert.py work_dirs/my_siammae/epoch_400.pth vit.pth --encoder-only --to timm
    python tools/model_converters/convert.py dinov3_vits16.pth dinov3.pth --timm-model vit_small_patch16_dinov3
"""

import argparse
import re
import sys
from pathlib import Path

from mmvidmae.utils.interrupt import leave_on_interrupt

SOURCES = (
    *('hiptrack', 'bat', 'droptrack', 'dropseg'),
    *('dropmae', 'catmae', 'cropmae', 'rsp', 'tobo', 'cosettle', 'rvm', 'dino', 'tcore', 'mae'),
    *('dinov2', 'timm', 'vitmae', 'transformers', 'mmvidmae-teacher', 'mmvidmae', 'mmpretrain'),
)
TARGETS = (
    *('mmvidmae', 'mmpretrain', 'mmseg', 'timm', 'mae', 'dropmae', 'cropmae', 'catmae', 'rsp', 'tobo', 'tcore'),
    *('cosettle', 'rvm'),
)
POS_INTERP = ('size', 'dino')
"""As in ``mmvidmae.converters``, which takes seconds to import."""


def _pair(text: str) -> tuple[int, int]:
    match = re.fullmatch(r'([1-9]\d{0,4})x([1-9]\d{0,4})', text)
    if not match:
        raise argparse.ArgumentTypeError(f'{text!r} is not of the form HEIGHTxWIDTH, e.g. 224x320')
    return int(match[1]), int(match[2])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', metavar='SRC', help='checkpoint to read')
    parser.add_argument('dst', metavar='DST', help='file to write')
    parser.add_argument(
        '--from', dest='source', choices=['auto', *SOURCES], default='auto', help='format of SRC (default: %(default)s)'
    )
    parser.add_argument(
        '--to', dest='target', choices=TARGETS, default='mmvidmae', help='format of DST (default: %(default)s)'
    )
    parser.add_argument('--encoder-only', action='store_true', help='drop decoder and heads')
    parser.add_argument(
        '--resize-to', type=_pair, metavar='HxW', help='interpolate the position embeddings for inputs of H x W pixels'
    )
    parser.add_argument(
        '--pos-interp',
        choices=POS_INTERP,
        default='size',
        help='how: to a size (mmpretrain, MAE), or by the scale factors of DINO and CropMAE (default: %(default)s)',
    )
    parser.add_argument(
        '--grid', type=_pair, metavar='RxC', help="patches of SRC's position embedding where they are not a square"
    )
    parser.add_argument(
        '--fold-identity',
        type=int,
        choices=[0, 1],
        nargs='?',
        const=0,
        metavar='FRAME',
        help="add DropMAE's identity embedding of frame 0 (default; the earlier frame, the search region) or 1 (the "
        'later frame, the template) to the position embedding, for code that has none',
    )
    parser.add_argument(
        '--timm-model',
        metavar='NAME',
        help="write the weights of this model of timm for mmvidmae.TimmBackbone, from timm's or the authors' names; "
        'goes without other options',
    )
    args = parser.parse_args()
    if args.timm_model:
        others = set(vars(args)) - {'src', 'dst', 'timm_model'}
        if changed := sorted(name for name in others if getattr(args, name) != parser.get_default(name)):
            parser.error(f'--timm-model goes without --{changed[0].replace("_", "-").replace("source", "from")}')

    from mmvidmae.converters import (
        CheckpointError,
        ConversionError,
        convert_for_timm,
        convert_state_dict,
        read_state_dict,
        write_state_dict,
    )

    try:
        if args.timm_model:
            state = convert_for_timm(read_state_dict(args.src), args.timm_model)
            write_state_dict(state, args.dst, dict(format=f'timm {args.timm_model}', source_file=Path(args.src).name))
            print(f'mapped: {len(state)} parameters of {args.timm_model}')
            print(f'written: {args.dst}')
            return 0
        conversion = convert_state_dict(
            read_state_dict(args.src),
            args.source,
            args.target,
            encoder_only=args.encoder_only,
            resize_to=args.resize_to,
            pos_interp=args.pos_interp,
            grid=args.grid,
            fold_identity=args.fold_identity,
        )
        meta = dict(converted_from=conversion.source, format=conversion.target, source_file=Path(args.src).name)
        write_state_dict(conversion.state_dict, args.dst, meta, conversion.container)
    except (CheckpointError, ConversionError, ImportError, OSError) as error:
        message = str(error)
        for name in ('encoder_only', 'fold_identity', 'grid'):  # the functions' arguments are options here
            message = message.replace(f'({name})', f'(--{name.replace("_", "-")})')
        print(f'{args.src}: {message}', file=sys.stderr)
        return 1
    print(conversion.summary())
    print(f'written: {args.dst}')
    return 0


if __name__ == '__main__':
    with leave_on_interrupt('Nothing was written: run the same command again.'):
        sys.exit(main())
