"""Export to ``torch.export`` and ONNX, checked against PyTorch."""

import io
import json
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mmvidmae.utils.files import atomic_write

from .metadata import PROGRAM_ENTRY, to_strings
from .packages import require_packages
from .parts import Part, parts_of

LOWEST_OPSET, HIGHEST_OPSET = 18, 23
"""Operator sets that can be asked for. Below the lowest, layer norms and resizing have other operators."""
TOLERANCE = 1e-4
"""Largest difference of an exported graph from PyTorch."""
_LARGEST = 2**31 - 2**20


class Exported(NamedTuple):
    """A file that was written.

    Attributes:
        path: The file.
        difference: Largest difference of its outputs from those of PyTorch.
        metadata: What the file says about its model.
    """

    path: Path
    difference: float
    metadata: dict[str, Any]


def export_model(
    model: nn.Module,
    path: str | Path,
    size: tuple[int, int] | None = None,
    opset: int = LOWEST_OPSET,
    int8: bool = False,
) -> list[Exported]:
    """Export a model as described in :func:`parts_of`. Each file is run and compared with PyTorch before it gets its
    name, with inputs of other open sizes than those of the export.

    Args:
        model: A model. It is not changed.
        path: File to write. The suffix ``.onnx`` selects ONNX, ``.pt2`` a program of ``torch.export``. A model of
            several parts is written as ``NAME_PART.onnx``.
        size: Height and width in pixels of the input, see :func:`parts_of`.
        opset: Operator set of ONNX.
        int8: Whether to write a second ONNX file ``NAME_int8.onnx``. Its matrices are int8, and what is multiplied with
            them is quantized as it comes. Its difference is reported and not limited.

    Raises:
        ImportError: If a package for ONNX is missing, or torch is older than 2.6.
        ValueError: If the suffix or operator set is not supported, the model cannot be exported, or the file differs
            from PyTorch by more than :data:`TOLERANCE`.
    """
    if not hasattr(getattr(torch.export, 'Dim', None), 'AUTO'):
        raise ImportError(f'the export needs torch 2.6 or later, here is {torch.__version__}')
    path = Path(path)
    to_onnx = path.suffix.lower() == '.onnx'
    if not to_onnx and path.suffix.lower() != '.pt2':
        raise ValueError(f'{path}: the suffix must be .onnx, or .pt2 for torch.export')
    if to_onnx:
        if not LOWEST_OPSET <= opset <= HIGHEST_OPSET:
            raise ValueError(
                f'opset {opset} is not supported: the lowest is {LOWEST_OPSET}, the highest {HIGHEST_OPSET}'
            )
        require_packages('the export to ONNX', 'onnx', 'onnxscript', 'onnxruntime')
    elif int8:
        raise ValueError('int8 is for .onnx files only')
    files = []
    for part in parts_of(model, size):
        file = path.with_name(f'{path.stem}_{part.name}{path.suffix}') if part.name else path
        program = to_program(part)
        with atomic_write(file) as unfinished:
            if to_onnx:
                _write_onnx(program, part, unfinished, opset)
                found = _run_onnx(unfinished, _examples(part))
            else:
                found = _write_program(program, part, unfinished)
            difference = _difference(part, found)
            if not difference <= TOLERANCE:
                raise ValueError(
                    f'{file} was not written: it differs from PyTorch by {difference:.2g}, more than {TOLERANCE:g}'
                )
        files.append(Exported(file, difference, part.metadata))
        if int8:
            smaller = file.with_name(f'{file.stem}_int8{file.suffix}')
            with atomic_write(smaller) as unfinished:
                _quantize(file, unfinished)
                difference = _difference(part, _run_onnx(unfinished, _examples(part)))
            files.append(Exported(smaller, difference, part.metadata | QUANTIZED))
    return files


def to_program(part: Part, device: str | torch.device = 'cpu') -> torch.export.ExportedProgram:
    """Trace a part on a device, to which its module is moved.

    Raises:
        ValueError: If the part cannot be traced.
    """
    torch.manual_seed(0)
    part.module.to(device)
    inputs = {name: value.to(device) for name, value in part.make_inputs(False).items()}
    shapes = (tuple(part.open_dims.get(name, {}) for name in inputs),)  # of *inputs
    try:
        with torch.no_grad(), _quiet():
            program = torch.export.export(part.module, tuple(inputs.values()), dynamic_shapes=shapes, strict=False)
    except Exception as error:  # torch.export has dozens of errors for code that it cannot trace
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f'{part.metadata["model"]} cannot be exported by torch {torch.__version__}: {reason}'
        ) from error
    for node in program.graph.nodes:  # they name files of this machine
        node.meta.pop('stack_trace', None)
    return program


def _write_program(program: torch.export.ExportedProgram, part: Part, path: Path) -> list[list[Tensor]]:
    data = io.BytesIO()  # a file would give its own name to the entries of the archive
    extra = {PROGRAM_ENTRY: json.dumps(to_strings(part.metadata))}
    with _quiet():
        torch.export.save(program, data, extra_files=extra)
        path.write_bytes(data.getvalue())
        data.seek(0)
        module = torch.export.load(data).module()
    with torch.no_grad():
        return [_listed(module(*inputs.values())) for inputs in _examples(part)]


def _write_onnx(program: torch.export.ExportedProgram, part: Part, path: Path, opset: int) -> None:
    size = sum(value.numel() * value.element_size() for value in part.module.state_dict().values())
    if size > _LARGEST:
        raise ValueError(
            f'{part.metadata["model"]} has {size / 2**30:.1f} GiB of weights, and an ONNX file holds 2: write .pt2'
        )
    try:
        with _quiet():
            onnx_program = torch.onnx.export(
                program,
                input_names=list(part.open_dims),
                output_names=list(part.outputs),
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f'{part.metadata["model"]} cannot be exported to ONNX: {reason}') from error
    assert onnx_program is not None
    graph = onnx_program.model
    _name_dims(graph, part)
    for node in graph.graph.all_nodes():  # stack traces, which name files of this machine
        node.metadata_props.clear()
    graph.metadata_props.clear()
    graph.metadata_props.update(to_strings(part.metadata | dict(opset=opset)))
    onnx_program.save(path)


def _name_dims(model: Any, part: Part) -> None:
    """Name open dimensions (``targets``, ``8*rows``) in place of the exporter's symbols (``s21``, ``8*s30``)."""
    names = {}
    for value in model.graph.inputs:
        for axis, dim in part.open_dims[value.name].items():
            symbol = re.search(r's\d+', str(value.shape[axis]))
            if symbol and isinstance(dim, torch.export.Dim):
                names[symbol[0]] = getattr(dim, 'root', dim).__name__
    if not names:
        return
    pattern = re.compile(rf'\b({"|".join(names)})\b')
    for value in (*model.graph.inputs, *(output for node in model.graph for output in node.outputs)):
        for axis, size in enumerate(value.shape or ()):
            if not isinstance(size, int) and pattern.search(str(size)):  # dimensions without a name keep none
                value.shape[axis] = pattern.sub(lambda found: names[found[0]], str(size))


QUANTIZED = dict(quantization='int8')
"""Additional metadata of a file with int8 weights."""


def _quantize(path: Path, target: Path) -> None:
    quantization, onnx = require_packages('int8', 'onnxruntime.quantization', 'onnx')
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    with _quiet():
        quantization.quantize_dynamic(
            path, target, weight_type=quantization.QuantType.QInt8, op_types_to_quantize=['MatMul', 'Gemm']
        )
    quantized = onnx.load(target)
    del quantized.metadata_props[:]
    onnx.helper.set_model_props(quantized, metadata | to_strings(QUANTIZED))
    onnx.save(quantized, target)


def _run_onnx(path: Path, examples: Sequence[Mapping[str, Tensor]]) -> list[list[Tensor]]:
    (onnxruntime,) = require_packages('the check of an ONNX file', 'onnxruntime')
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    return [
        [torch.from_numpy(np.asarray(out)) for out in session.run(None, {k: v.numpy() for k, v in inputs.items()})]
        for inputs in examples
    ]


def _examples(part: Part) -> list[dict[str, Tensor]]:
    """The same inputs at each call: of the export's sizes, and of others."""
    torch.manual_seed(1)
    return [part.make_inputs(other) for other in (False, True)]


def _difference(part: Part, found: Sequence[Sequence[Tensor]]) -> float:
    difference = 0.0
    for inputs, outputs in zip(_examples(part), found, strict=True):
        with torch.no_grad():
            expected = _listed(part.module(*inputs.values()))
        for ours, theirs in zip(expected, outputs, strict=True):
            difference = max(difference, (ours - theirs).abs().max().item())
    return difference


def _listed(outputs: Any) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters, which warn about their own code."""
    loggers = [logging.getLogger(name) for name in ('torch.onnx', 'torch.export', 'onnxscript', 'onnx_ir', '')]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
