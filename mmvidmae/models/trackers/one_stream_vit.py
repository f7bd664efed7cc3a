"""Encoder of DropTrack and OSTrack: template and search region in one sequence."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor, nn

from mmvidmae.registry import MODELS

from ..backbones import PairMAEViT
from ..layers import (
    Branches,
    check_shapes,
    layer_of_last_tokens,
    maybe_checkpoint,
    require,
    require_size,
    require_whole,
    square_grid,
)
from .candidate_elimination import eliminating_layer


class OneStreamFeatures(NamedTuple):
    """Output of :class:`OneStreamViT`.

    Attributes:
        search: Search features ``(N, D, h, w)``, zero where tokens were eliminated.
        kept: Ids ``(N, K)`` of the search tokens kept by each elimination, best first.
        template: Features ``(N, D, h, w)`` of the (first) template, or None if they were not asked for.
    """

    search: Tensor
    kept: list[Tensor]
    template: Tensor | None = None

    def of(self, samples: slice | list[int]) -> 'OneStreamFeatures':
        """Features of some samples."""
        template = None if self.template is None else self.template[samples]
        return OneStreamFeatures(self.search[samples], [ids[samples] for ids in self.kept], template)


@MODELS.register_module()
class OneStreamViT(PairMAEViT):
    """Vision transformer over the tokens of a template and a search region, with candidate elimination.

    As in DropTrack, the template has the frame identity of the later frame in pre-training, the search region that of
    the earlier one (``temporal_pos_embed_z`` and ``_x``). Each has its own learned position embedding. Without
    ``frame_embed`` this is OSTrack's encoder.

    The encoder loads its own checkpoints and those of any single-frame or pair encoder with mmpretrain's parameter
    names (DropMAE, SiamMAE, MAE, a ViT classifier). From the latter, a class token is ignored and missing frame
    identities are initialized to zero. Position embeddings of other sizes are interpolated (``interpolate_mode``, by
    default bicubic).

    Args:
        arch: As in :class:`PairMAEViT`.
        template_size: Template (height, width) in pixels, or one number for a square.
        search_size: Search region (height, width) in pixels, or one number for a square.
        patch_size: Patch side in pixels.
        frame_embed: Whether to use frame identity embeddings.
        ce_loc: Layers (from 0) at which search tokens are eliminated.
        ce_keep_ratio: Share of the search tokens that each of these layers keeps.
        drop_path_rate: Stochastic depth rate of the last layer. The rate increases linearly from 0 over the layers.
        **kwargs: Further arguments of :class:`PairMAEViT`.

    Raises:
        ValueError: If an argument is out of range.
    """

    stem = (*PairMAEViT.stem, 'pos_embed_z', 'pos_embed_x')

    def __init__(
        self,
        arch: str | dict = 'base',
        template_size: int | tuple[int, int] = 192,
        search_size: int | tuple[int, int] = 384,
        patch_size: int = 16,
        frame_embed: bool = True,
        ce_loc: Sequence[int] = (3, 6, 9),
        ce_keep_ratio: Sequence[float] = (0.7, 0.7, 0.7),
        drop_path_rate: float = 0.0,
        **kwargs,
    ) -> None:
        require_whole(self, patch_size=patch_size)
        require_size(self, patch_size, template_size=template_size, search_size=search_size)
        super().__init__(
            arch,
            search_size,
            patch_size,
            frame_embed=frame_embed,
            with_cls_token=False,
            drop_path_rate=drop_path_rate,
            **kwargs,
        )
        if len(ce_loc) != len(ce_keep_ratio) or not all(0 <= i < self.num_layers for i in ce_loc):
            raise ValueError(
                f'ce_loc {tuple(ce_loc)} must name layers below {self.num_layers}, each with one of '
                f'ce_keep_ratio {tuple(ce_keep_ratio)}'
            )
        right = all(0 < rate <= 1 for rate in ce_keep_ratio)
        require(right, self, 'ce_keep_ratio', tuple(ce_keep_ratio), 'in (0, 1]')
        self.ce_keep_ratio = dict(zip(ce_loc, ce_keep_ratio))
        self.grids = tuple(_grid(size, patch_size) for size in (template_size, search_size))
        for name, grid in zip(_POS_EMBEDS, self.grids):
            pos_embed = resize_pos_embed(self.pos_embed, self.patch_resolution, grid, self.interpolate_mode, 0)
            self.register_parameter(name, nn.Parameter(pos_embed.detach().clone()))
        self.pos_embed = None
        self._freeze_stages()

    def forward(
        self,
        template: Tensor,
        search: Tensor,
        cells: Tensor | None = None,
        keep_ratio: float | None = None,
        with_template: bool = False,
    ) -> OneStreamFeatures:
        """Encode templates and search regions.

        Args:
            template: Normalized templates ``(N, 3, H_z, W_z)`` of size ``template_size``, or ``(N, T, 3, H_z, W_z)``:
                T templates of each target, whose tokens all go into the sequence.
            search: Normalized search regions ``(N, 3, H_x, W_x)`` of size ``search_size``.
            cells: Cells ``(M,)`` or ``(N, M)`` of the first template that score the search tokens; None for all cells
                of all templates.
            keep_ratio: Keep ratio that replaces those of all layers. 1 eliminates nothing.
            with_template: Whether to return the first template's features too.

        Raises:
            ValueError: If an input has another size than ``template_size`` or ``search_size``.
        """
        templates = template if template.ndim == 5 else template[:, None]
        z = self.embed_role(templates.flatten(0, 1), 0).unflatten(0, templates.shape[:2]).flatten(1, 2)
        x = self.embed_role(search, 1)
        num_template, num_search = z.shape[1], x.shape[1]
        tokens = self.pre_norm(self.drop_after_pos(torch.cat((z, x), dim=1)))
        ids = torch.arange(num_search, device=x.device).expand(x.shape[0], -1)
        kept = []
        for i, layer in enumerate(self.layers):
            branches = self.branches(i)
            if i in self.ce_keep_ratio:
                rate = self.ce_keep_ratio[i] if keep_ratio is None else keep_ratio
                tokens, ids = maybe_checkpoint(
                    eliminating_layer, layer, tokens, ids, rate, cells, branches, with_cp=self.with_cp
                )
                kept.append(ids)
            elif branches is None and (with_template or i < self.num_layers - 1):
                tokens = maybe_checkpoint(layer, tokens, with_cp=self.with_cp)
            else:
                first = num_template if i == self.num_layers - 1 and not with_template else 0
                tokens = maybe_checkpoint(layer_of_last_tokens, layer, tokens, first, branches, with_cp=self.with_cp)
        x = self.ln1(tokens[:, -ids.shape[1] :])
        if ids.shape[1] < num_search:
            full = x.new_zeros(x.shape[0], num_search, self.embed_dims)
            x = full.scatter(1, ids[..., None].expand_as(x), x)
        z = None
        if with_template:
            z = self.ln1(tokens[:, : math.prod(self.grids[0])]).transpose(1, 2).unflatten(2, self.grids[0])
        return OneStreamFeatures(x.transpose(1, 2).unflatten(2, self.grids[1]), kept, z)

    def branches(self, index: int) -> Branches | None:
        """What a layer computes beside attention and feed-forward network. This encoder has nothing there."""
        return None

    def embed_role(self, image: Tensor, role: int) -> Tensor:
        """Embed templates (role 0) or search regions (role 1) as tokens ``(N, L, D)`` with position and identity
        embeddings."""
        tokens, grid = self.patch_embed(image)
        if tuple(grid) != self.grids[role]:
            height, width = (n * self.patch_size for n in self.grids[role])
            raise ValueError(
                f'the {("template", "search region")[role]} is {image.shape[2]} x {image.shape[3]} pixels, but the '
                f'encoder was made for {height} x {width}: set {("template_size", "search_size")[role]}'
            )
        tokens = tokens + getattr(self, _POS_EMBEDS[role])
        if self.frame_embed is not None:
            tokens = tokens + self.frame_embed[:, 1 - role]
        return tokens

    def _prepare_pos_embed(self, state_dict: dict[str, Tensor], prefix: str, *args, **kwargs) -> None:
        """Convert an encoder's parameters to those of this one before loading (hook of mmpretrain's VisionTransformer).

        A mismatch is an error. MMEngine would only warn and train from partly random weights.
        """
        pos_embed = state_dict.pop(f'{prefix}pos_embed', None)
        num_extra = int(state_dict.pop(f'{prefix}cls_token', None) is not None)
        if pos_embed is not None:
            grid = square_grid(pos_embed.shape[1] - num_extra)
            if grid is None:
                raise ValueError(
                    f'the position embedding has {pos_embed.shape[1] - num_extra} patches, which are no square'
                )
            for name, own_grid in zip(_POS_EMBEDS, self.grids):
                state_dict[prefix + name] = resize_pos_embed(
                    pos_embed[:, num_extra:], grid, own_grid, self.interpolate_mode, 0
                )
            if self.frame_embed is None:
                state_dict.pop(f'{prefix}frame_embed', None)
            else:
                state_dict.setdefault(f'{prefix}frame_embed', torch.zeros_like(self.frame_embed))
        for name, own_grid in zip(_POS_EMBEDS, self.grids):
            own_embed = state_dict.get(prefix + name)
            if own_embed is not None and (grid := square_grid(own_embed.shape[1])):  # trained at another size
                state_dict[prefix + name] = resize_pos_embed(own_embed, grid, own_grid, self.interpolate_mode, 0)
        check_shapes(self, state_dict, prefix)


_POS_EMBEDS = ('pos_embed_z', 'pos_embed_x')


def _grid(size: int | tuple[int, int], patch_size: int) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return height // patch_size, width // patch_size
