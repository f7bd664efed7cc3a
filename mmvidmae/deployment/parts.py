"""The graphs of a model that are exported, with example inputs and metadata."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmvidmae.models.backbones import AdaptedViT, PairMAEViT, RecurrentViT
from mmvidmae.models.segmentors import DropSeg, aggregate_objects
from mmvidmae.models.trackers import DropTrack, HIPTrack, SingleObjectTracker
from mmvidmae.version import __version__

OpenDims = dict[str, dict[int, Any]]


class Part(NamedTuple):
    """A graph that is exported.

    Attributes:
        name: Name of the part, which becomes a part of the file's name; empty for a model of one part.
        module: Takes the inputs in their order and returns a tensor or a tuple of tensors.
        make_inputs: Function that draws example inputs from a generator, each time of other open sizes if told so.
        open_dims: Open dimensions of each input, for ``torch.export``.
        outputs: Names of the outputs.
        metadata: What a caller must know, as JSON values.
    """

    name: str
    module: nn.Module
    make_inputs: Callable[[bool], dict[str, Tensor]]
    open_dims: OpenDims
    outputs: tuple[str, ...]
    metadata: dict[str, Any]


def parts_of(model: nn.Module, size: tuple[int, int] | None = None) -> list[Part]:
    """Take apart a model for an export.

    ====================================  ==================================================================
    Model                                 Graphs
    ====================================  ==================================================================
    DropTrack, OSTrack, BAT               ``template, search -> boxes, scores``
    DropSeg                               ``memory``: ``image, masks -> memory``;
                                          ``segment``: ``image, memory -> probabilities``
    A model with a recurrent backbone     ``image, state -> features, state``
    Any other model with a backbone       ``image -> features``
    ====================================  ==================================================================

    Args:
        model: A model. It is not changed.
        size: Height and width in pixels of the input of an encoder or of DropSeg. None leaves them open: any multiple
            of the patch size.

    Raises:
        ValueError: If the model cannot be exported, or not with open sizes.
    """
    model = copy.deepcopy(model).float().cpu().eval().requires_grad_(False)
    name = type(model).__name__
    if isinstance(model, DropTrack) and not isinstance(model, HIPTrack):
        if size is not None:
            raise ValueError(f'{name} has fixed sizes, those of its template and search region: leave size out')
        return [_tracker(model)]
    if isinstance(model, SingleObjectTracker):
        raise ValueError(
            f'{name} cannot be exported: it keeps more of a video than a template. DropTrack, OSTrack and BAT can, and '
            'the encoder of any pre-training model'
        )
    if isinstance(model, DropSeg):
        return _segmentor(model, size)
    backbone = getattr(model, 'backbone', None)
    if not isinstance(backbone, nn.Module):
        raise ValueError(
            f'{name} cannot be exported: it has no backbone. Models with a backbone, DropTrack and DropSeg can'
        )
    return [_encoder(model, backbone, size)]


def _tracker(model: DropTrack) -> Part:
    patch = model.backbone.patch_size
    channels = 3 * model.num_modalities
    sides: dict[str, Any] = dict(template=model.template_crop['out_size'], search=model.search_crop['out_size'])
    number = torch.export.Dim('targets', max=_MOST)

    def make_inputs(other: bool) -> dict[str, Tensor]:
        return {name: torch.randn(3 if other else 2, channels, side, side) for name, side in sides.items()}

    grids = dict(zip(sides, model.backbone.grids, strict=True))
    metadata = dict(
        kind='tracker',
        template_size=sides['template'],
        search_size=sides['search'],
        template_factor=model.template_crop['factor'],
        search_factor=model.search_crop['factor'],
        patch_size=patch,
        template_grid=list(grids['template']),
        score_map_size=list(grids['search']),
        window='hann',
        window_size=list(grids['search']),
        window_influence='the score is multiplied by the window, inside the graph',
        box_format='cx, cy, w, h in units of the search region',
        margin=model.test_cfg['margin'],
        num_modalities=model.num_modalities,
    )
    module = _Calls(model, DropTrack.locate)
    return Part(
        '',
        module,
        make_inputs,
        {name: {0: number} for name in sides},
        ('boxes', 'scores'),
        _common(model, metadata),
    )


def _segmentor(model: DropSeg, size: tuple[int, int] | None) -> list[Part]:
    backbone = model.backbone
    sizes, dims = _image_size(backbone, backbone.patch_size, size)
    objects, tokens = torch.export.Dim('objects', max=_MOST), torch.export.Dim('memory_tokens', max=2**31)

    def memory_inputs(other: bool) -> dict[str, Tensor]:
        height, width = sizes(other)
        masks = (torch.rand(3 if other else 2, height, width) > 0.5).float()
        return dict(image=torch.randn(1, 3, height, width), masks=masks)

    def segment_inputs(other: bool) -> dict[str, Tensor]:
        height, width = sizes(other)
        frames = 3 if other else 2
        length = height * width // backbone.patch_size**2 * frames
        memory = torch.randn(3 if other else 2, length, backbone.embed_dims)
        return dict(image=torch.randn(1, 3, height, width), memory=memory)

    metadata = _common(
        model,
        dict(
            kind='video_segmentation',
            patch_size=backbone.patch_size,
            embed_dims=backbone.embed_dims,
            image_size=None if size is None else list(size),
            memory_every=model.memory_every,
            memory_frames=model.memory_frames,
        ),
    )
    image = {2 + axis: dim for axis, dim in dims.items()}
    return [
        Part(
            'memory',
            _Calls(model, _remember),
            memory_inputs,
            dict(image=image, masks={0: objects, **{1 + axis: dim for axis, dim in dims.items()}}),
            ('memory',),
            dict(metadata, part='memory'),
        ),
        Part(
            'segment',
            _Calls(model, _segment),
            segment_inputs,
            dict(image=image, memory={0: objects, 1: tokens}),
            ('probabilities',),
            dict(metadata, part='segment'),
        ),
    ]


def _encoder(model: nn.Module, backbone: nn.Module, size: tuple[int, int] | None) -> Part:
    vit: Any = backbone.encoder if isinstance(backbone, AdaptedViT) else backbone
    name = type(vit).__name__
    if size is None and not isinstance(vit, PairMAEViT):
        raise ValueError(f'the encoder {name} can be exported for one input size only: set size (--size HEIGHT WIDTH)')
    if size is None and vit.pos_interp == 'dino':
        raise ValueError(
            "an encoder with pos_interp='dino' can be exported for one input size only, since ONNX has no such "
            'interpolation: set size (--size HEIGHT WIDTH)'
        )
    patch = vit.patch_size if isinstance(vit, PairMAEViT) else 1
    sizes, dims = _image_size(backbone, patch, size)
    recurrent = isinstance(vit, RecurrentViT)
    number = torch.export.Dim('images', max=_MOST)

    def make_inputs(other: bool) -> dict[str, Tensor]:
        height, width = sizes(other)
        images = 3 if other else 2
        inputs = dict(image=torch.randn(images, 3, height, width))
        if recurrent:
            length = height * width // patch**2 + vit.num_extra_tokens
            inputs['state'] = torch.randn(images, length, vit.embed_dims)
        return inputs

    open_dims: OpenDims = dict(image={0: number, **{2 + axis: dim for axis, dim in dims.items()}})
    if recurrent:
        open_dims['state'] = {0: number} if size else {0: number, 1: torch.export.Dim.AUTO}
    module = _Calls(backbone, _advance if recurrent else _encode)
    example = make_inputs(False)
    with torch.no_grad():
        found = module(*example.values())
    maps = found[:-1] if recurrent else found if isinstance(found, tuple) else (found,)
    names = ('features',) if len(maps) == 1 else tuple(f'features_{index}' for index in range(len(maps)))
    metadata = dict(
        kind='encoder',
        encoder=type(backbone).__name__,
        patch_size=getattr(vit, 'patch_size', None),
        channels=[part.shape[1] for part in maps],
        image_size=None if size is None else list(size),
        state='zeros at the begin of a video' if recurrent else None,
    )
    outputs = (*names, 'next_state') if recurrent else names
    return Part('', module, make_inputs, open_dims, outputs, _common(model, metadata))


class _Calls(nn.Module):
    """A module whose forward pass is a function of a model and tensors."""

    def __init__(self, model: nn.Module, function: Callable) -> None:
        super().__init__()
        self.model = model
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(self.model, *inputs)


def _encode(backbone: nn.Module, image: Tensor) -> Any:
    found = backbone(image)
    found = tuple(found) if isinstance(found, tuple | list) else (found,)
    return found if len(found) > 1 else found[0]


def _advance(backbone: RecurrentViT, image: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    tokens, grid = backbone.encode_whole(image)
    state = backbone.core(tokens, state)
    return backbone._format_output(state, grid), state


def _remember(model: DropSeg, image: Tensor, masks: Tensor) -> Tensor:
    tokens, _ = model.backbone.embed(image[None], first=1)
    return tokens[0] + model.backbone.embed_masks(masks)


def _segment(model: DropSeg, image: Tensor, memory: Tensor) -> Tensor:
    query, grid = model.backbone.embed(image[None])
    found = model.object_prob(memory, query[0].expand(memory.shape[0], -1, -1), grid)
    return aggregate_objects(found).softmax(0)


_MOST = 1 << 16
"""Largest number of images, targets or objects in a batch."""


def _image_size(
    backbone: nn.Module, patch: int, size: tuple[int, int] | None
) -> tuple[Callable[[bool], tuple[int, int]], dict[int, Any]]:
    """A function that gives sizes of example images, and the open dimensions by axis (0 for rows)."""
    if size is not None:
        if min(size) < 1 or any(side % patch for side in size):
            raise ValueError(f'size {size[0]} x {size[1]} does not divide into patches of {patch} pixels')
        return lambda other: size, {}
    # small sizes: the graph is the same, and all of them differ from the grid of the position embedding
    dims = {axis: patch * torch.export.Dim(name, min=2, max=_MOST) for axis, name in enumerate(('rows', 'columns'))}
    return lambda other: ((7 if other else 5) * patch, (4 if other else 6) * patch), dims


def _common(model: nn.Module, metadata: Mapping[str, Any]) -> dict[str, Any]:
    preprocessor = getattr(model, 'data_preprocessor', None)
    mean, std = getattr(preprocessor, 'mean', None), getattr(preprocessor, 'std', None)
    if not isinstance(mean, Tensor) or not isinstance(std, Tensor):
        raise ValueError(f'{type(model).__name__} has no data_preprocessor with mean and std, which the file must name')
    return dict(
        model=type(model).__name__,
        mmvidmae_version=__version__,
        mean=mean.flatten().tolist(),
        std=std.flatten().tolist(),
        normalization='(pixels - mean) / std, with pixels from 0 to 255',
        channel_order='RGB',
        **metadata,
    )
