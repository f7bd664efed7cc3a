"""Turn a checkpoint of a training into files to publish: the whole model and its encoder alone, weights only.

The model is written as NAME-<hash>.pth and NAME-<hash>.safetensors, the encoder as NAME_encoder-..., where <hash> is
the beginning of the file's SHA-256. The files have neither the state that a training needs to resume nor the config,
which names your folders.

With --config, the encoder is also written as a folder in the layout of Hugging Face's hub, NAME_encoder with
model.safetensors, config.json and README.md. mmvidmae.apis.from_pretrained(FOLDER) loads it. --push uploads this
folder; nothing else uses the network.

Example:
    python tools/publish_model.py CHECKPOINT published --name my_siammae
    python tools/publish_model.py CHECKPOINT published --config CONFIG --license apache-2.0
    python tools/publish_model.py CHECKPOINT published --config CONFIG --push USER/NAME
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
    parser.add_argument('--config', help='config of the model, or its name in the model index: also write a folder')
    parser.add_argument('--method', help="pre-training that the folder names (default: the model's class)")
    parser.add_argument('--license', help='license of the weights that the folder names, such as apache-2.0')
    parser.add_argument('--source', help='origin of the weights that the folder names, such as an address')
    parser.add_argument(
        '--push', metavar='USER/NAME', help="upload the folder to this repository of Hugging Face's hub"
    )
    args = parser.parse_args()
    if args.config is None and (args.push or args.method or args.license or args.source):
        parser.error('--push, --method, --license and --source need --config, which describes the encoder')
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
    if args.config is not None:
        publish_folder(parser, args, args.out_dir / f'{name}_encoder')


def publish_folder(parser: argparse.ArgumentParser, args: argparse.Namespace, folder: Path) -> None:
    """Write the encoder as a folder and upload it if asked for."""
    from mmvidmae.apis import get_model
    from mmvidmae.models.backbones import PretrainedEncoder
    from mmvidmae.models.backbones.pretrained import push

    try:
        model = get_model(args.config, args.checkpoint, device='cpu')
        if not isinstance(getattr(model, 'backbone', None), PretrainedEncoder):
            parser.error(f'{type(model).__name__} has no encoder of mmvidmae')
        preprocessor = model.data_preprocessor
        preprocessing = {part: getattr(preprocessor, part).flatten().tolist() for part in ('mean', 'std')}
        method = args.method or type(model).__name__
        model.backbone.save_pretrained(folder, preprocessing, method, args.license, args.source, args.half)
        print(f'{folder}: encoder with config, for mmvidmae.apis.from_pretrained')
        if args.push:
            print(f'uploaded: {push(folder, args.push)}')
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == '__main__':
    main()
