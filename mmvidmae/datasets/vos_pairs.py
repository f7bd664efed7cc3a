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
"""Largest number of pairs to draw until one shows an object."""

BICUBIC, NEAREST = InterpolationMode.BICUBIC, InterpolationMode.NEAREST
MEAN_COLOR = [124, 116, 104]
"""ImageNet's mean color in whole numbers, which fills pixels from outside the frame."""


@DATASETS.register_module()
class VOSPairDataset(Dataset):
    """Pairs of annotated frames, a memory frame and a query frame, from the videos of another dataset.

    A sample draws the earlier frame uniformly from all annotated frames but the last. The later frame follows 1 to
    ``max_gap`` annotated frames after it, uniformly and within the video. Each of the two is the memory frame with
    probability 1/2. A pair is replaced by one of another video if its memory frame shows no object, also after
    augmentation, or if a file cannot be read. Unreadable files are logged. With :class:`PairSampler`, all draws follow
    from (seed, epoch, sample number).

    Args:
        videos: Config of a :class:`MaskVideoDataset` with ground truth; its pipeline is not used.
        max_gap: Largest gap between the two frames, in annotated frames. DropSeg uses 24 on DAVIS and 4 on YouTube-VOS,
            where every fifth video frame is annotated.
        repeat: Samples of each video in an epoch.
        pipeline: Transforms of ``frames`` (two of uint8 RGB ``(H, W, 3)``) and ``masks`` (two label maps ``(H, W)``).

    Raises:
        ValueError: If ``max_gap`` or ``repeat`` is below 1, or a video has fewer than two frames with ground truth.
            Also when an item is loaded, if no pair with an object is found.

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
        """Meta information of the video dataset."""
        return self.videos.metainfo

    def full_init(self) -> None:
        """Do nothing; MMEngine's ``ConcatDataset`` calls it."""

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
    """STCN's augmentation. Both frames share a flip, a crop and a color change. Each frame then gets its own affine
    transform and slight color change.

    **Required and changed Keys:**

    - frames: two uint8 RGB arrays ``(H, W, 3)``, changed to uint8 tensors ``(3, size, size)``.
    - masks: two label maps ``(H, W)``, changed to uint8 tensors ``(size, size)``.

    Args:
        size: Output side in pixels.
        scale: Smallest and largest area of the crop, as a share of the frame; the aspect ratio is 3/4 to 4/3.
        degrees: Largest rotation in either direction, in degrees.
        shear: Largest horizontal shear in either direction, in degrees.

    Raises:
        ValueError: If an argument is out of range.

    Source: ``jimmy-dq/DropSeg@7f5e082:dataset/vos_dataset.py`` (bicubic for frames, nearest for masks, mean color
    outside the frame).
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
        """Augment both frames and masks."""
        # Masks go through Pillow, as frames do: Pillow samples at pixel centers. torchvision's nearest neighbor on
        # tensors samples at pixel corners, which would move a mask by half a pixel.
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
    """Choose objects of the memory frame and pack the pair. The result is None if the memory frame shows no object.

    **Required Keys:** frames, masks (tensors), video_name, frame_names

    **Returned Keys:**

    - inputs (torch.Tensor): uint8 RGB ``(2, 3, H, W)``, the memory frame and the query frame.
    - data_samples (DataSample): ``gt_masks``, uint8 ``(2, H, W)``, with ids 1, 2, ... for the chosen objects and 0
      elsewhere. The metainfo holds ``num_objects``, ``video_name`` and ``frame_names``.

    Args:
        max_objects: Largest number of objects in a pair.
    """

    def __init__(self, max_objects: int = 2) -> None:
        self.max_objects = max_objects

    def transform(self, results: dict) -> dict | None:
        """Pack the pair."""
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
