"""Turn a checkpoint of a training into files to publish: the whole model and its encoder alone, weights only.

The model is written as NAME-<hash>.pth and NAME-<hash>.safetensors, the encoder as NAME_encoder-..., where <hash> is
the beginning of the file's SHA-256. The files have neither the state that a training needs to resume nor the config,
which names your folders.
"""

import argparse
import hashlib
import io
from pathlib import Path

from mmvidmae.utils.interrupt import leave_on_interrupt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', type=Path, help='checkpoint of a training')
    parser.add_argument('out_dir', type=Path, help='folder to write to')
    parser.add_argument('--name', help='NAME of the files (default: <folder>_<name> of the checkpoint)')
    parser.add_argument('--half', action='store_true', help='store float16: half the size; loads into any model')
    args = parser.parse_args()
    with leave_on_interrupt('The files named above are complete, others are not there: run the same command again.'):
        publish(parser, args)


def publish(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    import torch
    from safetensors.torch import save as to_safetensors

    from mmvidmae.apis.model_zoo import ENCODER
    from mmvidmae.converters import CheckpointError, compact, read_state_dict
    from mmvidmae.engine.hooks.atomic_checkpoint_hook import AtomicLocalBackend

    try:
        state_dict = read_state_dict(args.checkpoint)
    except CheckpointError as error:
        parser.error(str(error))
    weights = compact(state_dict)
    if args.half:
        weights = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
    encoder = {key: value for key, value in weights.items() if key.startswith(ENCODER)}
    if not encoder:
        parser.error(f'{args.checkpoint}: no parameter begins with {ENCODER}: this is no model of mmvidmae')

    name = args.name or f'{args.checkpoint.resolve().parent.name}_{args.checkpoint.stem}'
    for stem, part in ((name, weights), (f'{name}_encoder', encoder)):
        pth = io.BytesIO()  # saved to a file, the bytes would depend on its name
        torch.save(dict(state_dict=part), pth)
        safetensors = to_safetensors(part, dict(format='pt'))
        for suffix, data in (('.pth', pth.getvalue()), ('.safetensors', safetensors)):
            path = args.out_dir / f'{stem}-{hashlib.sha256(data).hexdigest()[:8]}{suffix}'
            AtomicLocalBackend().put(data, path)
            print(f'{path}: {len(part)} tensors, {len(data) / 1e6:.1f} MB')


if __name__ == '__main__':
    main()
