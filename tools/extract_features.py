"""Write the features of a video's frames, of a folder of pictures or of pictures to a .npy file.

Frames are read, encoded and written in batches, so neither video nor features have to fit into memory. The file has an
array (frames, channels, rows, columns), which numpy.load(FILE, mmap_mode='r') opens without reading it.

Example:
    python tools/extract_features.py CONFIG CHECKPOINT video.mp4 -o features.npy
    python tools/extract_features.py CONFIG CHECKPOINT a.jpg b.jpg -o features.npy --short-side 480 --layer 5
"""

import argparse

from mmvidmae.utils.interrupt import leave_on_interrupt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the model, or its name in the model index')
    parser.add_argument('checkpoint', help="its checkpoint, or 'none' for random weights")
    parser.add_argument('frames', nargs='+', help='videos, folders of pictures, pictures, in this order')
    parser.add_argument('-o', '--out', required=True, help='file to write, .npy')
    parser.add_argument(
        '--short-side', type=int, default=224, help='in pixels, 0 keeps the size (default: %(default)s)'
    )
    parser.add_argument('--layer', type=int, default=-1, help='from 0, or negative from the last (default: the last)')
    parser.add_argument('--tokens', action='store_true', help='write (frames, tokens, channels), with the class token')
    parser.add_argument('--half', action='store_true', help='write float16, half the size')
    parser.add_argument('--batch-size', type=int, default=16, help='frames at a time (default: %(default)s)')
    parser.add_argument('--device', help='device, such as cpu or cuda:1 (default: a GPU if there is one)')
    args = parser.parse_args()
    if not args.out.endswith('.npy'):
        parser.error(f'-o {args.out}: expected a name in .npy')
    with leave_on_interrupt('Nothing was written: run the same command again.'):
        write(parser, args)


def write(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    import numpy as np

    from mmvidmae.apis import feature_batches, get_model
    from mmvidmae.datasets import VideoReadError
    from mmvidmae.utils.files import atomic_write

    try:
        model = get_model(args.config, None if args.checkpoint == 'none' else args.checkpoint, args.device)
        form = 'tokens' if args.tokens else 'map'
        number, batches = feature_batches(
            model, args.frames, [args.layer], form, args.short_side or None, args.batch_size
        )
        array, done = None, 0
        with atomic_write(args.out) as part:
            for (features,) in batches:
                if array is None:
                    shape, dtype = (number, *features.shape[1:]), np.float16 if args.half else np.float32
                    array = np.lib.format.open_memmap(part, 'w+', dtype, shape)
                array[done : done + len(features)] = features.cpu().numpy()
                done += len(features)
            array.flush()
    except (OSError, ValueError, VideoReadError) as error:
        parser.error(str(error))
    print(f'{args.out}: {done} frames, {array.dtype} {array.shape}')


if __name__ == '__main__':
    main()
