"""Pairs of frames with masks, for training video object segmentation."""

import os
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose
from mmpretrain.structures import DataSample
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from mmvidmae.registry import DATASETS, TRANSFORMS

from .labelled_videos import MaskVideoDataset
from .readers import read_image
from .samplers import Visit, seeded

TRIALS = 50
"""Pairs that are drawn in search of one that shows an object."""


@DATASETS.register_module()
class MaskPairDataset(Dataset):
    """Pairs of annotated frames, a remembered one and a query, from the videos of another dataset.

    A visit of a video draws its remembered frame and then the query, at most ``max_gap`` frames away, before or after
    it with equal odds. A pair whose remembered frame shows no object, or none any more after augmentation, gives way to
    one of another video. With a sampler of ours all draws follow from (seed, epoch, number of the visit).

    Args:
        videos: Config of a :class:`MaskVideoDataset` with ground truth; its pipeline is not used.
        max_gap: Largest distance of the two in frames of the video. :class:`GapCurriculumHook` changes it.
        frame_step: Frames of the video from one listed frame to the next: 5 in YouTube-VOS.
        repeat: How often an epoch visits each video.
        pipeline: Transforms of ``frames`` (two of uint8 RGB ``(H, W, 3)``) and ``masks`` (two id maps ``(H, W)``).

    Raises:
        ValueError: If ``max_gap`` reaches no other frame, or a video has fewer than two frames with ground truth; when
            an item is loaded, if no pair with an object is found.

    Source: STCN's ``VOSDataset``, which DropSeg trains with (dropmae.md F.3).
    """

    def __init__(
        self, videos: dict, max_gap: int = 25, frame_step: int = 1, repeat: int = 1, pipeline: Sequence[dict] = ()
    ) -> None:
        if max_gap < frame_step:
            raise ValueError(f'max_gap={max_gap} does not reach the next frame, which is {frame_step} away')
        self.videos: MaskVideoDataset = DATASETS.build(videos)
        self.frame_step = frame_step
        self.repeat = repeat
        self._max_gap = torch.tensor(max_gap).share_memory_()  # so that it changes in worker processes, too
        self.pipeline = Compose(list(pipeline))
        few = [
            info['video_name']
            for info in map(self.videos.get_data_info, range(len(self.videos)))
            if sum(path is not None for path in info['gt_paths']) < 2
        ]
        if few:
            raise ValueError(f'a pair needs two frames with masks, which these videos do not have: {", ".join(few)}')

    @property
    def max_gap(self) -> int:
        """Largest distance of the frames of a pair; all workers see what it is set to."""
        return int(self._max_gap)

    @max_gap.setter
    def max_gap(self, frames: int) -> None:
        self._max_gap.fill_(max(frames, self.frame_step))

    @property
    def metainfo(self) -> dict:
        """That of the videos."""
        return self.videos.metainfo

    def full_init(self) -> None:
        """Nothing is left to be done (asked for by MMEngine's concatenation)."""

    def __len__(self) -> int:
        return len(self.videos) * self.repeat

    def __getitem__(self, index: Visit | int) -> Any:
        with seeded(index):
            return self._load(index)

    def _load(self, index: int) -> Any:
        for _ in range(TRIALS):
            info = self.videos.get_data_info(index % len(self.videos))
            item = self.pipeline(self._draw(info))
            if item is not None:
                return item
            index = random.randrange(len(self.videos))
        raise ValueError(
            f'{TRIALS} pairs in a row, the last of video {info["video_name"]}, show no object in the remembered frame: '
            'check the masks, and that crops are not much smaller than the frames'
        )

    def _draw(self, info: dict[str, Any]) -> dict[str, Any]:
        annotated = [number for number, path in enumerate(info['gt_paths']) if path is not None]
        reach = self.max_gap // self.frame_step
        memory = random.choice(annotated)
        near = [number for number in annotated if 0 < abs(number - memory) <= reach]
        query = (
            random.choice(near)
            if near
            else min((number for number in annotated if number != memory), key=lambda number: abs(number - memory))
        )
        pair = (memory, query)
        return dict(
            video_name=info['video_name'],
            frame_names=[info['frame_names'][number] for number in pair],
            frames=[read_image(*os.path.split(info['frame_paths'][number])) for number in pair],
            masks=[self.videos.read_mask(info['gt_paths'][number]) for number in pair],
        )


@TRANSFORMS.register_module()
class MaskPairAugment(BaseTransform):
    """STCN's augmentation: a crop, a flip and colours for both frames alike, then an affine change and slight colours
    for each by itself.

    **Required and changed Keys:**

    - frames: two, uint8 RGB ``(H, W, 3)``, which become uint8 tensors ``(3, size, size)``.
    - masks: two id maps, which become uint8 tensors ``(size, size)``.

    Args:
        size: Side of the result in pixels.
        scale: Share of the frame's area that a crop takes; its aspect ratio lies between 3/4 and 4/3.
        degrees: Largest rotation to either side.
        shear: Largest horizontal shear to either side, in degrees.

    Source: ``static`` of STCN's ``VOSDataset`` (bicubic; masks nearest; what comes in from outside is the mean colour).
    """

    def __init__(
        self, size: int = 384, scale: tuple[float, float] = (0.36, 1.0), degrees: float = 15, shear: float = 10
    ) -> None:
        bicubic = v2.InterpolationMode.BICUBIC
        self.both = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.RandomResizedCrop(size, scale=scale, interpolation=bicubic, antialias=True),
                v2.ColorJitter(0.1, 0.03, 0.03, 0),
                v2.RandomGrayscale(0.05),
            ]
        )
        self.each = v2.Compose(
            [
                v2.RandomAffine(
                    degrees, shear=shear, interpolation=bicubic, fill={Image.Image: (124, 116, 104), tv_tensors.Mask: 0}
                ),
                v2.ColorJitter(0.01, 0.01, 0.01, 0),
            ]
        )

    def transform(self, results: dict) -> dict:
        """Augment."""
        frames = [Image.fromarray(frame) for frame in results['frames']]  # torchvision has bicubic affines for these
        masks = [tv_tensors.Mask(torch.from_numpy(mask)) for mask in results['masks']]
        frames, masks = self.both(frames, masks)
        pairs = [self.each(frame, mask) for frame, mask in zip(frames, masks, strict=True)]
        return {
            **results,
            'frames': [v2.functional.pil_to_tensor(frame) for frame, _ in pairs],
            'masks': [mask.as_subclass(Tensor) for _, mask in pairs],
        }


@TRANSFORMS.register_module()
class PackMaskPair(BaseTransform):
    """Chooses objects of the remembered frame and packs the pair; None if it shows none.

    **Required Keys:** frames, masks (tensors), video_name, frame_names

    **Returned Keys:**

    - inputs (torch.Tensor): ``(2, 3, H, W)``, uint8 RGB: the remembered frame, then the query.
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
