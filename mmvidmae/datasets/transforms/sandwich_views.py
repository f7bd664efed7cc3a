"""Global and local crops of a current frame between a past and a future frame."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from mmvidmae.registry import TRANSFORMS

from .geometry import Size, center_box, check_range, draw_box, size_pair

BICUBIC = InterpolationMode.BICUBIC


@TRANSFORMS.register_module()
class SandwichViews(BaseTransform):
    """Make the views of T-CoRe (arXiv 2503.15096) from a past, a current and a future frame.

    - Current frame: two global crops and some local crops, random boxes (:func:`draw_box`). Local crops are flipped
      with probability 0.5, global crops are not.
    - Past and future frame: two global crops each. All have the same box, the largest center box with an allowed aspect
      ratio, and differ in color only.

    A clip of one frame, such as a picture, is past, current and future frame at once (ImageNet).

    Each crop gets its own color jitter, grayscale, blur and solarization. The first global crop of a frame has other
    probabilities than the second one.

    **Required Keys:**

    - frames: (num_pairs, 3 or 1, 3, H, W), uint8 RGB
    - rng

    **Modified Keys:**

    - frames: (num_pairs, 3, 2, 3, h, w), uint8: frame, then crop.

    **Added Keys:**

    - local_crops: (num_pairs, num_local, 3, h, w), uint8.

    Args:
        size: Size of global crops in pixels, one number for a square or (height, width).
        local_size: Size of local crops.
        num_local: Number of local crops.
        scale: Smallest and largest share of the area of a global crop.
        local_scale: The same of a local crop.
        ratio: Smallest and largest width / height of a crop.
        jitter: Largest change of brightness, contrast, saturation and hue.
        jitter_prob: Probability of the color jitter.
        gray_prob: Probability of grayscale.
        blur_prob: Probability of the blur for the first and second global crop and for local crops. The authors' code
            has the complements: (0.0, 0.9, 0.5).
        solarize_prob: Probability of solarization for the same crops.

    Raises:
        ValueError: If a value is out of range, or a clip does not have one or three frames.

    Source: ``yafeng19/T-CORE@67c8bf9:base_model/data/augmentations.py:88-202``.
    """

    def __init__(
        self,
        size: Size = 224,
        local_size: Size = 96,
        num_local: int = 8,
        scale: tuple[float, float] = (0.32, 1.0),
        local_scale: tuple[float, float] = (0.05, 0.32),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.2, 0.1),
        jitter_prob: float = 0.8,
        gray_prob: float = 0.2,
        blur_prob: tuple[float, float, float] = (1.0, 0.1, 0.5),
        solarize_prob: tuple[float, float, float] = (0.0, 0.2, 0.0),
    ) -> None:
        if not (isinstance(num_local, int) and num_local >= 0):
            raise ValueError(f'SandwichViews: num_local must be a whole number of at least 0, got {num_local}')
        probs = dict(
            jitter_prob=(jitter_prob,), gray_prob=(gray_prob,), blur_prob=blur_prob, solarize_prob=solarize_prob
        )
        for name, values in probs.items():
            if len(values) not in (1, 3) or not all(0 <= value <= 1 for value in values):
                raise ValueError(
                    f'SandwichViews: {name} must lie between 0 and 1 (one for each kind of crop: first '
                    f'global, second global, local), got {values}'
                )
        if len(jitter) != 4 or not all(value >= 0 for value in jitter) or jitter[3] > 0.5:
            raise ValueError(
                'SandwichViews: jitter must be four changes (brightness, contrast, saturation, hue) of at least 0, the '
                f'last at most 0.5, got {jitter}'
            )
        self.size = size_pair(size)
        self.local_size = size_pair(local_size)
        self.num_local = num_local
        self.scale = check_range(self, 'scale', scale, most=1)
        self.local_scale = check_range(self, 'local_scale', local_scale, most=1)
        self.ratio = check_range(self, 'ratio', ratio)
        self.jitter = tuple(jitter)
        self.jitter_prob = jitter_prob
        self.gray_prob = gray_prob
        self.blur_prob = tuple(blur_prob)
        self.solarize_prob = tuple(solarize_prob)

    def transform(self, results: dict) -> dict:
        clips, rng = results['frames'], results['rng']
        if clips.shape[1] == 1:
            clips = clips.expand(-1, 3, -1, -1, -1)
        if clips.shape[1] != 3:
            raise ValueError(
                f'SandwichViews needs clips of a past, a current and a future frame, got {clips.shape[1]} frames; set '
                'num_frames=3 of SampleFrames'
            )
        made = [self.make(clip, rng) for clip in clips]
        results['frames'] = torch.stack([frames for frames, _ in made])
        results['local_crops'] = torch.stack([local for _, local in made])
        return results

    def make(self, clip: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Make the global crops ``(3, 2, 3, h, w)`` and the local crops ``(num_local, 3, h, w)`` of a clip
        ``(3, 3, H, W)``."""
        height, width = clip.shape[-2:]
        current, frames = clip[1], []
        for position, frame in enumerate(clip):
            boxes = [center_box(height, width, self.ratio)] * 2
            if position == 1:
                boxes = [draw_box(height, width, self.scale, self.ratio, rng) for _ in range(2)]
            crops = [F.resized_crop(frame, *box, self.size, BICUBIC, antialias=True) for box in boxes]
            frames.append(torch.stack([self._recolor(crop, kind, rng) for kind, crop in enumerate(crops)]))
        local = []
        for _ in range(self.num_local):
            box = draw_box(height, width, self.local_scale, self.ratio, rng)
            crop = F.resized_crop(current, *box, self.local_size, BICUBIC, antialias=True)
            local.append(self._recolor(crop.flip(-1) if rng.random() < 0.5 else crop, 2, rng))
        return torch.stack(frames), torch.stack(local) if local else current.new_empty(0, 3, *self.local_size)

    def _recolor(self, crop: Tensor, kind: int, rng: np.random.Generator) -> Tensor:
        """Change the colors of a crop; ``kind`` is 0 or 1 for the first and second global crop and 2 for local ones."""
        if rng.random() < self.jitter_prob:
            *changes, hue = self.jitter
            adjust = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
            factors = [rng.uniform(max(0.0, 1 - change), 1 + change) for change in changes] + [rng.uniform(-hue, hue)]
            for step in rng.permutation(4).tolist():
                crop = adjust[step](crop, factors[step])
        if rng.random() < self.gray_prob:
            crop = F.rgb_to_grayscale(crop, num_output_channels=3)
        if rng.random() < self.blur_prob[kind]:
            crop = F.gaussian_blur(crop, [9, 9], [rng.uniform(0.1, 2.0)] * 2)
        if rng.random() < self.solarize_prob[kind]:
            crop = F.solarize(crop, 128)
        return crop

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(size={self.size}, local_size={self.local_size}, num_local={self.num_local}, '
            f'scale={self.scale}, local_scale={self.local_scale}, ratio={self.ratio}, jitter={self.jitter}, '
            f'jitter_prob={self.jitter_prob}, gray_prob={self.gray_prob}, blur_prob={self.blur_prob}, '
            f'solarize_prob={self.solarize_prob})'
        )
