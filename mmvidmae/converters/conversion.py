"""Conversion of a state dict: detect its format, rename to our names, check, adapt, rename to the target format."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from mmvidmae.models.layers import square_grid

from .architecture import Architecture, infer_architecture
from .checkpoint_io import strip_wrappers
from .formats import FOREIGN_PARTS, REGISTER_NAMES, SOURCES, TARGETS, Source, Target, recognize
from .key_maps import StateDict
from .position_embedding import fold_identity as fold
from .position_embedding import interpolate_pos_embed


class ConversionError(ValueError):
    """Raised if weights cannot be converted completely. The message lists the reasons."""


@dataclass(frozen=True)
class Conversion:
    """Converted weights and a record of the conversion.

    Attributes:
        state_dict: Parameters with the names of the target.
        source: Source format.
        target: Target format.
        architecture: Architecture of the source model. Position embeddings are not interpolated yet.
        num_mapped: Number of parameters of the source that were converted.
        dropped: For each reason, the names of the parameters of the source that were dropped.
        container: Key of the file under which the target's code expects the state dict.
    """

    state_dict: StateDict
    source: str
    target: str
    architecture: Architecture
    num_mapped: int
    dropped: Mapping[str, tuple[str, ...]]
    container: str

    def summary(self) -> str:
        """Describe the conversion in a few lines: formats, and numbers of converted and dropped parameters."""
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
    """Convert a state dict. Each parameter is converted, dropped for a stated reason, or an error.

    Args:
        state: Parameters by name, possibly with the prefixes that :func:`strip_wrappers` removes.
        source: A format of :data:`SOURCES`, or ``'auto'`` to detect it from the parameter names.
        target: A format of :data:`TARGETS`.
        encoder_only: Whether to drop decoder and heads.
        resize_to: Input size (height, width) in pixels, to which position embeddings are interpolated.
        pos_interp: Mode of the interpolation, see :func:`interpolate_pos_embed`.
        grid: Patch grid (rows, columns) of the source's position embedding. Required if it is not square.
        fold_identity: Frame (0 or 1) whose identity embedding is added to the position embedding. Use it for targets
            without identity embeddings. See :func:`fold_identity`.

    Returns:
        The converted state dict, with a record of the conversion.

    Raises:
        ConversionError: If the format is unknown, a parameter is missing, unexpected or of a wrong shape, the target
            does not have a part of the model, or an option does not apply.
    """
    try:
        state = strip_wrappers(state)
    except ValueError as error:
        raise ConversionError(str(error)) from error
    if source == 'auto':
        source = recognize(state)
    _refuse_foreign_parts(state, source is not None and SOURCES[source].registers)
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
                else "a decoder's frame identity embeddings cannot be folded: convert the encoder alone (encoder_only)"
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


def _refuse_foreign_parts(state: Mapping[str, Tensor], registers: bool) -> None:
    """Raise an error if the encoder has a part that ours does not have. ``registers`` allows register tokens."""
    foreign = FOREIGN_PARTS if registers else {REGISTER_NAMES: 'register tokens', **FOREIGN_PARTS}
    found = {part: [key for key in state if re.fullmatch(name, key)] for name, part in foreign.items()}
    if found := {part: keys for part, keys in found.items() if keys}:
        parts = '; '.join(f'{part} ({_listing(keys)})' for part, keys in found.items())
        raise ConversionError(
            f'the encoder has parts that mmvidmae.PairMAEViT does not have: {parts}. Evaluate it without conversion, '
            'as mmvidmae.TimmBackbone (docs/weights.md)'
        )


def _select(
    state: Mapping[str, Tensor], name: str, source: Source, encoder_only: bool
) -> tuple[StateDict, dict[str, tuple[str, ...]]]:
    """Split the parameters into those to convert and, for each reason, the names of those to drop."""
    unused, why = source.unused or ('(?!)', '')
    dropped = {why: tuple(key for key in state if re.fullmatch(unused, key))}
    outside = tuple(key for key in state if re.fullmatch(source.outside, key))
    if encoder_only:
        dropped['not of the encoder'] = outside
    elif outside and source.encoder_only_because:
        raise ConversionError(
            f'{name}: {source.encoder_only_because}: {len(outside)} parameters ({_listing(outside)}). '
            'Convert the encoder alone (encoder_only)'
        )
    gone = {key for keys in dropped.values() for key in keys}
    kept = {key: value for key, value in state.items() if key not in gone}
    return kept, {reason: keys for reason, keys in dropped.items() if keys}


def _to_checked(state: StateDict, source: Source) -> tuple[StateDict, Architecture]:
    """Convert to our names. Infer the architecture, and check all names and shapes against it."""
    try:
        ours = source.convert(state)
    except KeyError as error:
        raise ConversionError(error.args[0]) from error
    except (IndexError, RuntimeError, TypeError) as error:  # from splitting or joining tensors of wrong shapes
        raise ConversionError(f'a parameter has a wrong shape: {error}') from error
    try:
        architecture = infer_architecture(ours)
    except ValueError as error:
        raise ConversionError(str(error)) from error
    expected = architecture.shapes
    shapes = {key: tuple(value.shape) for key, value in ours.items()}
    problems = {
        'missing': sorted(expected.keys() - shapes.keys()),
        'unexpected': sorted(shapes.keys() - expected.keys()),
        'of a wrong shape': [
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
    """Check that the target's model has all parts of this model, and no others."""
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
            f'{name} does not have the {architecture.addition} of the encoder'
            if architecture.addition
            else f'{name} needs the {target.addition} of its encoder, and there is none'
        )
    if target.decoders is not None and architecture.decoder and architecture.decoder not in target.decoders:
        raise ConversionError(
            f'{name} does not have the {architecture.decoder} decoder: convert the encoder alone (encoder_only)'
        )


def _listing(names: list[str] | tuple[str, ...], limit: int = 4) -> str:
    shown = ', '.join(names[:limit])
    return f'{shown}, ...' if len(names) > limit else shown
