"""Vision transformer with registers, learned positions, LayerScale and a mask token."""

import torch
from torch import Tensor, nn

from mmvidmae.registry import MODELS

from ..layers import interpolate_pos_embed_antialiased, require, require_share, require_whole
from .pair_mae_vit import PairMAEViT


@MODELS.register_module()
class RegisterViT(PairMAEViT):
    """Vision transformer of T-CoRe, in the form of DINOv2 with registers (arXiv 2309.16588).

    It differs from :class:`PairMAEViT` in four points:

    - The position embedding is learned. For other input sizes it is interpolated (bicubic, anti-aliased).
    - Registers, learned tokens without positions, follow the class token. No output contains them.
    - Both residual branches of a layer have a LayerScale.
    - A hidden patch is replaced by a mask token before positions are added. All tokens stay in the sequence.

    Frames are encoded separately (``encoding='siamese'``), and each has a class token.

    Args:
        arch: See :class:`PairMAEViT`.
        img_size: Frame height and width in pixels that the position embedding is made for.
        patch_size: Patch side in pixels.
        num_registers: Number R of registers.
        layer_scale_init_value: Initial value of LayerScale. 0 omits it.
        drop_path_rate: Rate of stochastic depth, the same in all layers.
        **kwargs: Further arguments of :class:`PairMAEViT`. ``encoding`` is ``'siamese'``, there is a class token, and
            there are no frame identity embeddings.

    Raises:
        ValueError: If an argument is out of range.

    Source: ``yafeng19/T-CORE@67c8bf9:base_model/models/vision_transformer.py:40-213``.
    """

    stem = (*PairMAEViT.stem, 'register_tokens', 'mask_token')

    def __init__(
        self,
        arch: str | dict = 'small',
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        num_registers: int = 4,
        layer_scale_init_value: float = 1e-5,
        drop_path_rate: float = 0.0,
        **kwargs,
    ) -> None:
        require_whole(self, least=0, num_registers=num_registers)
        require_share(self, drop_path_rate=drop_path_rate)
        for name, value in dict(encoding='siamese', frame_embed=False, with_cls_token=True).items():
            given = kwargs.pop(name, value)
            require(given == value, self, name, given, repr(value))
        super().__init__(
            arch,
            img_size,
            patch_size,
            'siamese',
            layer_scale_init_value=layer_scale_init_value,
            layer_cfgs=dict(drop_path_rate=drop_path_rate),
            **kwargs,
        )
        self.num_registers = num_registers
        self.register_tokens = nn.Parameter(torch.zeros(1, num_registers, self.embed_dims)) if num_registers else None
        self.mask_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))
        self.pos_embed = nn.Parameter(torch.zeros_like(self.pos_embed))
        self._freeze_stages()

    def init_parameters(self) -> None:
        """Initialize as the authors' code does."""
        super().init_parameters()
        for layer in self.layers.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
        self.patch_embed.projection.reset_parameters()
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.normal_(self.cls_token, std=1e-6)
        if self.register_tokens is not None:
            nn.init.normal_(self.register_tokens, std=1e-6)
        nn.init.zeros_(self.mask_token)

    def forward(self, x: Tensor, masks: Tensor | None = None) -> tuple[Tensor, ...]:
        """Encode single frames, with some patches hidden, or clips.

        Args:
            x: Normalized frames ``(N, 3, H, W)`` or clips ``(N, T, 3, H, W)``.
            masks: For single frames, a boolean mask ``(N, L)``, True where a patch is hidden. For clips, the masks of
                :meth:`PairMAEViT.forward`, whose hidden patches are dropped.

        Returns:
            For single frames with a mask, class token and all patches ``(N, 1 + L, D)`` of the last layer, in a tuple.
            Otherwise as :meth:`PairMAEViT.forward`, without registers.
        """
        if x.ndim != 4 or masks is None:
            return super().forward(x, masks)
        tokens, _ = self.embed(x[:, None], hidden=masks[:, None])
        return tuple(self.encode(self.with_cls(tokens[:, 0]), [self.num_layers - 1]))

    def embed(self, frames: Tensor, first: int = 0, hidden: Tensor | None = None) -> tuple[Tensor, tuple[int, int]]:
        """Embed frames as :meth:`PairMAEViT.embed` does, with the mask token where ``hidden (N, T, L)`` is True."""
        tokens, grid = super().embed(frames, first)
        if hidden is not None:
            replaced = (self.mask_token + self.positions(grid)).to(tokens.dtype)
            tokens = torch.where(hidden[..., None], replaced, tokens)
        return tokens, grid

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Position embedding ``(1, L, D)`` of a frame with a grid of L patches."""
        pos_embed = self.pos_embed[:, self.num_extra_tokens :]
        return interpolate_pos_embed_antialiased(pos_embed, self.patch_resolution, grid)

    def with_cls(self, tokens: Tensor) -> Tensor:
        """Put the class token and the registers in front of ``tokens (N, K, D)``."""
        tokens = super().with_cls(tokens)
        if self.register_tokens is None:
            return tokens
        registers = self.register_tokens.expand(tokens.shape[0], -1, -1)
        return torch.cat((tokens[:, :1], registers, tokens[:, 1:]), dim=1)

    def encode(self, x: Tensor, out_indices: list[int]) -> list[Tensor]:
        """Run tokens ``(N, 1 + R + K, D)`` through the layers. The outputs ``(N, 1 + K, D)`` are without registers."""
        outputs = super().encode(x, out_indices)
        return [torch.cat((output[:, :1], output[:, 1 + self.num_registers :]), dim=1) for output in outputs]
