"""Pairs of frames with masks, for training video object segmentation."""

import logging
import os
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose
from mmengine.logging import print_log
from mmpretrain.structures import DataSample
from PIL import Image
from torch.utils.data import Dataset
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from mmvidmae.registry import DATASETS, TRANSFORMS
from mmvidmae.structures.label_maps import read_label_map, void_hint

from .readers import VideoReadError, read_image
from .samplers import SampleIndex, seeded
from .video_sequences import MaskVideoDataset

TRIALS = 50
"""Pairs that are drawn in search of one that shows an object."""

BICUBIC, NEAREST = InterpolationMode.BICUBIC, InterpolationMode.NEAREST
MEAN_COLOR = [124, 116, 104]
"""ImageNet's, in whole numbers: what comes into a frame from outside."""


@DATASETS.register_module()
class VOSPairDataset(Dataset):
    """Pairs of annotated frames, a remembered one and a query, from the videos of another dataset.

    A visit of a video draws the earlier frame of the pair (any but the last), then the later one, 1 to ``max_gap``
    annotated frames away and all of these with equal odds, as far as the video goes. Either of the two is the
    memory frame, with equal odds. A pair whose memory frame shows no object, or none any more after
    augmentation, gives way to one of another video. So does one of which a file cannot be read, which is logged.
    With a sampler of ours all draws follow from (seed, epoch, number of the visit).

    Args:
        videos: Config of a :class:`MaskVideoDataset` with ground truth; its pipeline is not used.
        max_gap: Largest distance of the two, counted in annotated frames. DropSeg: 24 on DAVIS, and 4 on YouTube-VOS,
            whose annotated frames are 5 frames of the video apart.
        repeat: How often an epoch visits each video.
        pipeline: Transforms of ``frames`` (two of uint8 RGB ``(H, W, 3)``) and ``masks`` (two label maps ``(H, W)``).

    Raises:
        ValueError: If ``max_gap`` or ``repeat`` is below 1, or a video has fewer than two frames with ground truth;
            when an item is loaded, if no pair with an object is found.

    Source: ``jimmy-dq/DropSeg@7f5e082:dataset/vos_dataset.py:349-353`` (its ``max_jump`` is ``max_gap + 1``).
    """

    def __init__(self, videos: dict, max_gap: int = 24, repeat: int = 1, pipeline: Sequence[dict] = ()) -> None:
        for name, value in (('max_gap', max_gap), ('repeat', repeat)):
            if value < 1:
                raise ValueError(f'VOSPairDataset: {name} must be at least 1, got {value}')
        self.videos: MaskVideoDataset = DATASETS.build(videos)
        self.max_gap = max_gap
        self.repeat = repeat
        self.pipeline = Compose(list(pipeline))
        few = [
            info['video_name']
            for info in map(self.videos.get_data_info, range(len(self.videos)))
            if sum(path is not None for path in info['gt_paths']) < 2
        ]
        if few:
            raise ValueError(f'a pair needs two frames with masks, which these videos do not have: {", ".join(few)}')

    @property
    def metainfo(self) -> dict:
        """That of the videos."""
        return self.videos.metainfo

    def full_init(self) -> None:
        """Nothing is left to be done (asked for by MMEngine's concatenation)."""

    def __len__(self) -> int:
        return len(self.videos) * self.repeat

    def __getitem__(self, index: SampleIndex | int) -> Any:
        with seeded(index):
            return self._load(index)

    def _load(self, index: int) -> Any:
        for _ in range(TRIALS):
            info = self.videos.get_data_info(index % len(self.videos))
            try:
                item = self.pipeline(self._draw(info))
            except (VideoReadError, OSError) as failure:
                print_log(f'A pair is replaced by another: {failure}', 'current', logging.WARNING)
                item = None
            if item is not None:
                return item
            index = random.randrange(len(self.videos))
        mask = next(path for path in info['gt_paths'] if path is not None)
        raise ValueError(
            f'{TRIALS} pairs in a row, the last of video {info["video_name"]}, show no object in the memory frame '
            'or cannot be read (see the log): check the masks, and that crops are not much smaller than the frames'
            f'{void_hint({mask: read_label_map(mask)})}'
        )

    def _draw(self, info: dict[str, Any]) -> dict[str, Any]:
        annotated = [number for number, path in enumerate(info['gt_paths']) if path is not None]
        earlier = random.randrange(len(annotated) - 1)
        later = random.randint(earlier + 1, min(earlier + self.max_gap, len(annotated) - 1))
        pair = [annotated[earlier], annotated[later]]
        random.shuffle(pair)
        return dict(
            video_name=info['video_name'],
            frame_names=[info['frame_names'][number] for number in pair],
            frames=[read_image(*os.path.split(info['frame_paths'][number])) for number in pair],
            masks=[self.videos.read_mask(info['gt_paths'][number]) for number in pair],
        )


@TRANSFORMS.register_module()
class VOSPairAugment(BaseTransform):
    """STCN's augmentation: a flip, a crop and colors for both frames alike, then an affine change and slight colors
    for each by itself.

    **Required and changed Keys:**

    - frames: two, uint8 RGB ``(H, W, 3)``, which become uint8 tensors ``(3, size, size)``.
    - masks: two label maps, which become uint8 tensors ``(size, size)``.

    Args:
        size: Side of the result in pixels.
        scale: Share of the frame's area that a crop takes; its aspect ratio lies between 3/4 and 4/3.
        degrees: Largest rotation to either side.
        shear: Largest horizontal shear to either side, in degrees.

    Raises:
        ValueError: If an argument is out of range.

    Source: ``jimmy-dq/DropSeg@7f5e082:dataset/vos_dataset.py`` (bicubic; masks nearest; what comes in from outside is
    the mean color).
    """

    def __init__(
        self, size: int = 384, scale: tuple[float, float] = (0.36, 1.0), degrees: float = 15, shear: float = 10
    ) -> None:
        if size < 1 or not 0 < scale[0] <= scale[1] <= 1 or degrees < 0 or shear < 0:
            raise ValueError(
                'VOSPairAugment: expected a positive size, scale (lo, hi) with 0 < lo <= hi <= 1 and degrees and '
                f'shear of at least 0, got size={size}, scale={scale}, degrees={degrees}, shear={shear}'
            )
        self.size = size
        self.scale = tuple(scale)
        self.degrees = (-degrees, degrees)
        self.shear = (-shear, shear)
        self.colors = v2.Compose([v2.ColorJitter(0.1, 0.03, 0.03, 0), v2.RandomGrayscale(0.05)])
        self.slight_colors = v2.ColorJitter(0.01, 0.01, 0.01, 0)

    def transform(self, results: dict) -> dict:
        """Augment."""
        # Masks go through Pillow, as frames do. Pillow samples both at the centers of pixels; torchvision's nearest
        # neighbor of tensors samples at their corners, which moves a mask by half a pixel.
        frames, masks = ([Image.fromarray(array) for array in results[key]] for key in ('frames', 'masks'))
        if torch.rand(1) < 0.5:
            frames, masks = ([F.horizontal_flip(image) for image in images] for images in (frames, masks))
        box = v2.RandomResizedCrop.get_params(frames[0], self.scale, (3 / 4, 4 / 3))
        size = [self.size, self.size]
        frames = self.colors([F.resized_crop(frame, *box, size, BICUBIC) for frame in frames])
        masks = [F.resized_crop(mask, *box, size, NEAREST) for mask in masks]
        for i in range(2):
            change = v2.RandomAffine.get_params(self.degrees, None, None, self.shear, size)
            frames[i] = self.slight_colors(F.affine(frames[i], *change, interpolation=BICUBIC, fill=MEAN_COLOR))
            masks[i] = F.affine(masks[i], *change, interpolation=NEAREST, fill=0)
        return {
            **results,
            'frames': [F.pil_to_tensor(frame) for frame in frames],
            'masks': [F.pil_to_tensor(mask)[0] for mask in masks],
        }


@TRANSFORMS.register_module()
class PackVOSInputs(BaseTransform):
    """Chooses objects of the memory frame and packs the pair; None if it shows none.

    **Required Keys:** frames, masks (tensors), video_name, frame_names

    **Returned Keys:**

    - inputs (torch.Tensor): ``(2, 3, H, W)``, uint8 RGB: the memory frame, then the query.
    - data_samples (DataSample): ``gt_masks`` ``(2, H, W)``, uint8, with the chosen objects as 1, 2, ..., the rest as
      background; ``num_objects``, video and frames as metainfo.

    Args:
        max_objects: Most objects of a pair.
    """

    def __init__(self, max_objects: int = 2) -> None:
        self.max_objects = max_objects

    def transform(self, results: dict) -> dict | None:
        """Pack."""
        masks = torch.stack(results['masks'])
        found = [number for number in masks[0].unique().tolist() if number not in (0, 255)]
        if not found:
            return None
        chosen = random.sample(found, min(self.max_objects, len(found)))
        ids = np.zeros(256, np.uint8)
        ids[chosen] = np.arange(1, len(chosen) + 1)
        sample = DataSample(
            metainfo=dict(video_name=results['video_name'], frame_names=results['frame_names'], num_objects=len(chosen))
        )
        sample.set_field(torch.from_numpy(ids)[masks.long()], 'gt_masks')
        return dict(inputs=torch.stack(results['frames']), data_samples=sample)
