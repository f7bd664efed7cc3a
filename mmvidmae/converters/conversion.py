"""Conversion of a state dict: detect the format, rename to our names, check, adapt, rename to the target."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from mmvidmae.models.layers import square_grid

from .architecture import Architecture, infer_architecture
from .checkpoint_io import strip_wrappers
from .formats import SOURCES, TARGETS, Source, Target, recognize
from .key_maps import StateDict
from .position_embedding import fold_identity as fold
from .position_embedding import interpolate_pos_embed


class ConversionError(ValueError):
    """Weights that cannot be converted completely. The message lists all reasons."""


@dataclass(frozen=True)
class Conversion:
    """Converted weights and a record of the conversion.

    Attributes:
        state_dict: Parameters with the names of the target.
        source: Source format.
        target: Target format.
        architecture: Architecture of the model, before position embeddings were interpolated.
        num_mapped: Number of converted parameters of the source.
        dropped: Names of the parameters that were dropped on purpose, by reason.
        container: Key under which the target's code expects the parameters in a file.
    """

    state_dict: StateDict
    source: str
    target: str
    architecture: Architecture
    num_mapped: int
    dropped: Mapping[str, tuple[str, ...]]
    container: str

    def summary(self) -> str:
        """Numbers of converted and dropped parameters, in a few lines."""
        lines = [
            f'source: {self.source}, {self.architecture}',
            f'mapped: {self.num_mapped} parameters to {len(self.state_dict)} of {self.target}',
        ]
        for reason, names in self.dropped.items():
            lines.append(f'dropped: {len(names)} ({_listing(names)}): {reason}')
        return '\n'.join(lines)


def convert_state_dict(
    state: Mapping[str, Tensor],
    source: str = 'auto',
    target: str = 'mmvidmae',
    *,
    encoder_only: bool = False,
    resize_to: tuple[int, int] | None = None,
    pos_interp: str = 'size',
    grid: tuple[int, int] | None = None,
    fold_identity: int | None = None,
) -> Conversion:
    """Convert all parameters of a model, or raise an error.

    Args:
        state: Parameters by name, possibly with the prefixes that :func:`strip_wrappers` removes.
        source: A format of :data:`SOURCES`, or ``'auto'`` to detect it by the names.
        target: A format of :data:`TARGETS`.
        encoder_only: Whether to drop decoder and heads.
        resize_to: Input (height, width) in pixels for which the position embeddings are interpolated.
        pos_interp: Mode of the interpolation, see :func:`interpolate_pos_embed`.
        grid: Patch grid (rows, columns) of the source's position embedding, needed if it is not square.
        fold_identity: Frame (0 or 1) whose identity embedding is added to the position embedding, for code without
            identity embeddings; see :func:`fold_identity`.

    Raises:
        ConversionError: If a parameter is missing, unexpected or of another shape, if the target does not support a
            part of the model, or if an option does not apply.
    """
    try:
        state = strip_wrappers(state)
    except ValueError as error:
        raise ConversionError(str(error)) from error
    if source == 'auto':
        source = recognize(state)
        if source is None:
            raise ConversionError(
                f'the format is not one of {", ".join(SOURCES)}; the parameters are {_listing(sorted(state))}'
            )
    kept, dropped = _select(state, source, SOURCES[source], encoder_only)
    ours, architecture = _to_checked(kept, SOURCES[source])
    if fold_identity is not None:
        if not architecture.frame_embed or architecture.decoder:
            raise ConversionError(
                'there are no frame identity embeddings to fold'
                if not architecture.frame_embed
                else "a decoder's frame identities cannot be folded: leave it behind (encoder_only)"
            )
        ours = fold(ours, fold_identity)
    if resize_to is not None:
        ours = _resize(ours, architecture, resize_to, pos_interp, grid)
    _require_place(ours, architecture, target, TARGETS[target])
    try:
        converted = TARGETS[target].convert(ours)
    except KeyError as error:
        raise ConversionError(error.args[0]) from error
    return Conversion(
        state_dict=converted,
        source=source,
        target=target,
        architecture=architecture,
        num_mapped=len(kept),
        dropped=dropped,
        container=TARGETS[target].container,
    )


def _select(
    state: Mapping[str, Tensor], name: str, source: Source, encoder_only: bool
) -> tuple[StateDict, dict[str, tuple[str, ...]]]:
    """Split parameters into those to convert and those to drop."""
    unused, why = source.unused or ('(?!)', '')
    dropped = {why: tuple(key for key in state if re.fullmatch(unused, key))}
    outside = tuple(key for key in state if re.fullmatch(source.outside, key))
    if encoder_only:
        dropped['not of the encoder'] = outside
    elif outside and source.encoder_only_because:
        raise ConversionError(
            f'{name}: {source.encoder_only_because}: {len(outside)} parameters ({_listing(outside)}). '
            'Leave them behind explicitly (encoder_only)'
        )
    gone = {key for keys in dropped.values() for key in keys}
    kept = {key: value for key, value in state.items() if key not in gone}
    return kept, {reason: keys for reason, keys in dropped.items() if keys}


def _to_checked(state: StateDict, source: Source) -> tuple[StateDict, Architecture]:
    """Convert to our names, and compare names and shapes with those of the inferred model."""
    try:
        ours = source.convert(state)
    except KeyError as error:
        raise ConversionError(error.args[0]) from error
    except (IndexError, RuntimeError, TypeError) as error:  # splitting or joining tensors of wrong shapes
        raise ConversionError(f'a parameter is of another shape: {error}') from error
    try:
        architecture = infer_architecture(ours)
    except ValueError as error:
        raise ConversionError(str(error)) from error
    expected = architecture.shapes
    shapes = {key: tuple(value.shape) for key, value in ours.items()}
    problems = {
        'missing': sorted(expected.keys() - shapes.keys()),
        'unexpected': sorted(shapes.keys() - expected.keys()),
        'of another shape': [
            f'{key} {shapes[key]} instead of {expected[key]}'
            for key in sorted(expected.keys() & shapes.keys())
            if shapes[key] != expected[key]
        ],
    }
    if any(problems.values()):
        lines = [f'{what}: {len(found)}\n  ' + '\n  '.join(found) for what, found in problems.items() if found]
        raise ConversionError(f'the parameters are not those of a {architecture}\n' + '\n'.join(lines))
    return ours, architecture


def _resize(
    state: StateDict, architecture: Architecture, size: tuple[int, int], mode: str, grid: tuple[int, int] | None
) -> StateDict:
    patch = architecture.patch_size
    if architecture.decoder == 'tracking':
        raise ConversionError("a tracker's position embeddings are interpolated when it is loaded at another size")
    if architecture.num_patches is None:
        raise ConversionError('the positions are not among the parameters: the model computes them for any input')
    if min(size) < patch or size[0] % patch or size[1] % patch:
        raise ConversionError(f'{size[0]} x {size[1]} pixels do not divide into patches of {patch} pixels')
    grid = grid or square_grid(architecture.num_patches)
    if grid is None or grid[0] * grid[1] != architecture.num_patches:
        given = f'{grid[0]} x {grid[1]}' if grid else 'a square'
        raise ConversionError(
            f'the position embedding has {architecture.num_patches} patches, which are not {given}: give its rows and '
            'columns (grid)'
        )
    new_grid = (size[0] // patch, size[1] // patch)
    return {
        name: interpolate_pos_embed(value, grid, new_grid, int(architecture.cls_token), mode)
        if name in ('backbone.pos_embed', 'backbone.encoder.pos_embed', 'neck.decoder_pos_embed')
        else value
        for name, value in state.items()
    }


def _require_place(state: StateDict, architecture: Architecture, name: str, target: Target) -> None:
    """Check that the target's code has exactly the parts of the parameters."""
    frame_embed = 'backbone.frame_embed' in state
    if target.frame_embed is not None and frame_embed != target.frame_embed:
        raise ConversionError(
            f'{name} has no frame identity embeddings: fold those of one frame into the position embedding '
            '(fold_identity)'
            if frame_embed
            else f'{name} needs frame identity embeddings, and there are none'
        )
    if target.cls_token is not None and architecture.cls_token != target.cls_token:
        raise ConversionError(
            f'{name} {"needs a class token, and there is none" if target.cls_token else "has no class token"}'
        )
    if target.addition not in ('any', architecture.addition):
        raise ConversionError(
            f'{name} has no place for the {architecture.addition} of the encoder'
            if architecture.addition
            else f'{name} needs the {target.addition} of its encoder, and there is none'
        )
    if target.decoders is not None and architecture.decoder and architecture.decoder not in target.decoders:
        raise ConversionError(
            f'{name} has no place for the {architecture.decoder} decoder: leave it behind (encoder_only)'
        )


def _listing(names: list[str] | tuple[str, ...], limit: int = 4) -> str:
    shown = ', '.join(names[:limit])
    return f'{shown}, ...' if len(names) > limit else shown
