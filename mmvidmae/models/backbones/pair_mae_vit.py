"""Vision transformer for single frames and clips of several frames."""

from collections.abc import Sequence

import torch
from mmcv.cnn.bricks import DropPath
from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor, nn

from mmvidmae.compat.mmseg_layer_decay import know_frame_identities
from mmvidmae.registry import MODELS

from ..layers import (
    build_2d_sincos_pos_embed,
    init_mae_weights,
    interpolate_pos_embed_dino,
    interpolate_pos_embed_size,
    maybe_checkpoint,
    require,
    require_divisible,
    require_share,
    require_size,
    require_whole,
)
from ..masking import TokenMask
from .pretrained import PretrainedEncoder


def _arch(embed_dims: int, num_layers: int, num_heads: int) -> dict:
    return dict(embed_dims=embed_dims, num_layers=num_layers, num_heads=num_heads, feedforward_channels=4 * embed_dims)


@MODELS.register_module()
class PairMAEViT(PretrainedEncoder, VisionTransformer):
    """Vision transformer for clips of T frames, with the parameter names of mmpretrain's ``VisionTransformer``. A frame
    pair is T = 2.

    With single frames ``(N, 3, H, W)`` it is an ordinary backbone (``out_type``, ``out_indices``) for any OpenMMLab
    toolbox and any input size divisible by the patch size. With clips ``(N, T, 3, H, W)`` it encodes the visible tokens
    of all frames, either in one sequence (``encoding='joint'``, DropMAE) or each frame separately with shared weights
    (``encoding='siamese'``, SiamMAE).

    All frames share MAE's fixed sine-cosine position embedding. Frame identity embeddings, if used, are learned and
    initialized from N(0, 1) (DropMAE's ``temporal_pos_embed_x`` and ``_z``). A single frame gets that of frame 0.

    Args:
        arch: ``'tiny'`` (192 wide, 12 layers, 3 heads), ``'small'`` (384/12/6), ``'base'`` (768/12/12), ``'large'``
            (1024/24/16), ``'huge'`` (1280/32/16), or a dict with ``embed_dims``, ``num_layers``, ``num_heads`` and
            ``feedforward_channels``. Unlike in mmpretrain, ``'small'`` is ViT-S.
        img_size: Frame height and width in pixels for the position embedding, or one number for a square.
        patch_size: Patch side in pixels.
        encoding: ``'joint'`` or ``'siamese'``.
        frame_embed: Whether to add frame identity embeddings.
        num_frames: Number of frame identity embeddings, at least the number T of frames in a clip.
        with_cls_token: Whether each group of tokens begins with a class token.
        out_type: Output type for single frames, as in mmpretrain: ``'raw'``, ``'cls_token'``, ``'featmap'`` or
            ``'avg_featmap'``.
        pos_interp: Interpolation of the position embedding for other input sizes: ``'size'``, as in mmpretrain, or
            ``'dino'``, with the shifted scale of DINO's code (:func:`interpolate_pos_embed_dino`).
        with_cp: Whether to use gradient checkpointing: only layer inputs are kept, and the backward pass reruns each
            layer.
        frozen_stages: Freeze the stem and this many layers: no gradients, and always in evaluation mode. If all layers
            are frozen, the final norms are frozen too. 0 and -1 freeze nothing.
        out_indices: Layers whose outputs are returned for single frames. Negative numbers count from the end.
        **kwargs: Further arguments of mmpretrain's ``VisionTransformer``.

    Raises:
        ValueError: If an argument is out of range.
    """

    stem = ('patch_embed', 'pre_norm', 'cls_token', 'pos_embed', 'frame_embed')
    """Parameters below the first layer. They are frozen first, and are layer 0 of layer-wise learning-rate decay."""

    arch_zoo = {
        'tiny': _arch(192, 12, 3),
        'small': _arch(384, 12, 6),
        'base': _arch(768, 12, 12),
        'large': _arch(1024, 24, 16),
        'huge': _arch(1280, 32, 16),
    }

    def __init__(
        self,
        arch: str | dict = 'base',
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        encoding: str = 'joint',
        frame_embed: bool = False,
        num_frames: int = 2,
        with_cls_token: bool = True,
        out_type: str = 'featmap',
        pos_interp: str = 'size',
        with_cp: bool = False,
        frozen_stages: int = -1,
        out_indices: int | Sequence[int] = -1,
        **kwargs,
    ) -> None:
        require(pos_interp in ('size', 'dino'), self, 'pos_interp', pos_interp, "'size' or 'dino'")
        require(encoding in ('joint', 'siamese'), self, 'encoding', encoding, "'joint' or 'siamese'")
        require_whole(self, patch_size=patch_size, num_frames=num_frames, in_channels=kwargs.get('in_channels', 3))
        require_size(self, patch_size, img_size=img_size)
        require_share(self, **{name: kwargs[name] for name in ('drop_rate', 'drop_path_rate') if name in kwargs})
        arch = self._check_arch(arch)
        depth = arch['num_layers']
        known = frozen_stages in range(-1, depth + 1)
        require(known, self, 'frozen_stages', frozen_stages, f'a number of the {depth} layers, or -1')
        out_indices = [out_indices] if isinstance(out_indices, int) else list(out_indices)
        known = len(out_indices) > 0 and all(index in range(-depth, depth) for index in out_indices)
        require(known, self, 'out_indices', out_indices, f'one or more layers from {-depth} to {depth - 1}')
        super().__init__(
            arch,
            img_size,
            patch_size,
            out_indices=out_indices,
            with_cls_token=with_cls_token,
            out_type=out_type,
            **kwargs,
        )
        self.patch_size = patch_size
        self.encoding = encoding
        self.pos_interp = pos_interp
        self.with_cp = with_cp
        for module in self.modules():
            if isinstance(module, DropPath):  # mmpretrain's rates are NumPy numbers, which break torch.compile's graph
                module.drop_prob = float(module.drop_prob)
        pos_embed = build_2d_sincos_pos_embed(self.patch_resolution, self.embed_dims, with_cls_token)
        self.pos_embed = nn.Parameter(pos_embed, requires_grad=False)
        self.frame_embed = nn.Parameter(torch.randn(1, num_frames, 1, self.embed_dims)) if frame_embed else None
        self.frozen_stages = frozen_stages
        self._freeze_stages()
        know_frame_identities()

    def _check_arch(self, arch: str | dict) -> dict:
        """Sizes of an architecture, given by name or as a dict."""
        if isinstance(arch, str):
            require(arch.lower() in self.arch_zoo, self, 'arch', arch, f'one of {", ".join(self.arch_zoo)}, or a dict')
            return self.arch_zoo[arch.lower()]
        names = ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')
        require(set(arch) >= set(names), self, 'arch', arch, f'a name, or a dict with {", ".join(names)}')
        require_whole(self, **{name: arch[name] for name in names})
        dims, heads = arch['embed_dims'], arch['num_heads']
        require_divisible(self, heads, 'num_heads', embed_dims=dims)
        require(dims % 4 == 0, self, 'embed_dims', dims, 'divisible by 4, for the sine-cosine position embedding')
        return arch

    def _freeze_stages(self) -> None:
        """Freeze the parameters of ``frozen_stages`` and set their evaluation mode. Constructors that add to the stem
        must call this again."""
        if self.frozen_stages < 1:
            return
        super()._freeze_stages()
        for name, parameter in self.named_parameters():
            if name.partition('.')[0] in self.stem:
                parameter.requires_grad = False

    def init_weights(self) -> None:
        """Call :meth:`init_parameters`, or load ``init_cfg``. The constructor sets the position embedding."""
        super(VisionTransformer, self).init_weights()  # mmpretrain's method would overwrite the position embedding
        if not (isinstance(self.init_cfg, dict) and self.init_cfg['type'] == 'Pretrained'):
            self.init_parameters()

    def init_parameters(self) -> None:
        """Initialize as MAE does."""
        init_mae_weights(self)
        nn.init.xavier_uniform_(self.patch_embed.projection.weight.flatten(1))
        if self.cls_token is not None:
            nn.init.normal_(self.cls_token, std=0.02)

    def _prepare_pos_embed(self, state_dict: dict[str, Tensor], prefix: str, *args, **kwargs) -> None:
        """Fit a loaded position embedding. mmpretrain removes the place of a class token only if the grid is the
        same."""
        if not self.num_extra_tokens and {f'{prefix}cls_token', f'{prefix}pos_embed'} <= state_dict.keys():
            state_dict[f'{prefix}pos_embed'] = state_dict[f'{prefix}pos_embed'][:, 1:]
        super()._prepare_pos_embed(state_dict, prefix, *args, **kwargs)

    def forward(self, x: Tensor, masks: Sequence[TokenMask] | None = None) -> tuple[Tensor, ...]:
        """Encode single frames or clips.

        Args:
            x: Normalized frames ``(N, 3, H, W)`` or clips ``(N, T, 3, H, W)``.
            masks: Masks of clips: one over the tokens of all frames, or one for each frame. None hides nothing.

        Returns:
            For single frames, the features of each layer in ``out_indices``, as given by ``out_type``. For clips with
            masks, the latents ``(N, K, D)`` of the visible tokens of each mask, after the class token if there is one.
            For clips without masks, the latents ``(N, L, D)`` of each frame. A siamese encoder puts a class token
            before the tokens of each frame, a joint encoder puts one before those of the first frame.

        Raises:
            ValueError: If the input size is not divisible by the patch size, or a siamese encoder gets a joint mask.
        """
        if x.ndim == 4:
            tokens, grid = self.embed(x[:, None])
            outputs = self.encode(self.with_cls(tokens[:, 0]), self.out_indices)
            return tuple(self._format_output(output, grid) for output in outputs)

        tokens, _ = self.embed(x)
        num_frames, num_tokens = tokens.shape[1:3]
        if masks is None and self.encoding == 'joint':
            sequence = self.with_cls(tokens.flatten(1, 2))
            others = [num_tokens] * (num_frames - 1)
            groups = sequence.split([sequence.shape[1] - sum(others), *others], dim=1)
        elif masks is None:
            groups = [self.with_cls(frame) for frame in tokens.unbind(1)]
        else:
            grouped = tokens.reshape(x.shape[0], len(masks), -1, self.embed_dims)
            groups = [self.with_cls(mask.visible(group)) for mask, group in zip(masks, grouped.unbind(1))]
        last = [self.num_layers - 1]
        if self.encoding == 'siamese':
            if len(groups) != num_frames:
                raise ValueError(
                    'a siamese encoder needs one mask for each frame: use a masking with a fixed number of visible '
                    'tokens in each frame (PerFrameRandomMasking, AsymmetricMasking, GridMasking)'
                )
            return tuple(self.encode(group, last)[0] for group in groups)
        (latent,) = self.encode(torch.cat(groups, dim=1), last)
        return latent.split([group.shape[1] for group in groups], dim=1)

    def embed(self, frames: Tensor, first: int = 0) -> tuple[Tensor, tuple[int, int]]:
        """Embed frames ``(N, T, 3, H, W)``. Returns tokens ``(N, T, L, D)`` with position and frame
        identity embeddings, and the patch grid. The first frame gets the identity of frame ``first``."""
        height, width = frames.shape[-2:]
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f'frames of {height} x {width} pixels do not divide into patches of {self.patch_size} pixels'
            )
        tokens, grid = self.patch_embed(frames.flatten(0, 1))
        tokens = tokens.unflatten(0, frames.shape[:2]) + self.positions(grid)
        if self.frame_embed is not None:
            tokens = tokens + self.frame_embed[:, first : first + frames.shape[1]]
        return tokens, grid

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Position embedding ``(1, L, D)`` of a frame with a grid of L patches."""
        pos_embed = self.pos_embed[:, self.num_extra_tokens :]
        if self.pos_interp == 'dino':
            return interpolate_pos_embed_dino(pos_embed, self.patch_resolution, grid)
        return interpolate_pos_embed_size(pos_embed, self.patch_resolution, grid, self.interpolate_mode)

    def with_cls(self, tokens: Tensor) -> Tensor:
        """Put the class token, if there is one, in front of ``tokens (N, K, D)``."""
        if self.cls_token is None:
            return tokens
        cls_token = self.cls_token + self.pos_embed[:, :1]
        return torch.cat((cls_token.expand(tokens.shape[0], -1, -1), tokens), dim=1)

    def encode(self, x: Tensor, out_indices: Sequence[int]) -> list[Tensor]:
        """Run tokens ``(N, K, D)`` through the layers and return the outputs of those in ``out_indices``. The output of
        the last layer is normalized."""
        x = self.pre_norm(self.drop_after_pos(x))
        outputs = []
        for i, layer in enumerate(self.layers):
            x = maybe_checkpoint(layer, x, with_cp=self.with_cp)
            if i == self.num_layers - 1 and self.final_norm:
                x = self.ln1(x)
            if i in out_indices:
                outputs.append(x)
        return outputs

    def train(self, mode: bool = True) -> 'PairMAEViT':
        """Set the mode of all parts that are not frozen. Returns the module, as PyTorch does; mmpretrain's backbones
        return None."""
        super().train(mode)
        self._freeze_stages()
        return self

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter for layer-wise learning-rate decay, and the number of depths."""
        if param_name.startswith(prefix) and param_name.removeprefix(prefix).partition('.')[0] in self.stem:
            return 0, self.num_layers + 2
        return super().get_layer_depth(param_name, prefix)
