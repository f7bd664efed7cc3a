"""DAVIS 2016 and 2017."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmvidmae.registry import DATASETS
from mmvidmae.structures.label_maps import read_label_map

from .base import MaskVideoDataset, check_masks, list_frames, match_masks


@DATASETS.register_module()
class DAVISDataset(MaskVideoDataset):
    """DAVIS as distributed: ``{JPEGImages,Annotations}/<resolution>/<sequence>/00000.{jpg,png}`` and ``ImageSets``.

    In 2017, each object of a sequence has its own id; void (255) counts as background. In 2016 there is one object: all
    nonzero pixels (255 in the 2016 release). In ``test-dev`` and ``test-challenge``, only the first frame has a mask.

    Args:
        data_root: Folder of the dataset.
        year: ``'2016'`` or ``'2017'``.
        split: Name of the list ``ImageSets/<year>/<split>.txt``. For 2016, the original list
            ``ImageSets/480p/<split>.txt`` with its paths is also accepted.
        resolution: ``'480p'`` or ``'Full-Resolution'``.
        **kwargs: See :class:`VideoSequenceDataset`.
    """

    METAINFO = dict(dataset_type='davis')

    def __init__(
        self,
        data_root: str,
        year: Literal['2016', '2017'] = '2017',
        split: str = 'val',
        resolution: str = '480p',
        **kwargs: Any,
    ) -> None:
        if str(year) not in ('2016', '2017'):
            raise ValueError(f"year must be '2016' or '2017', got {year!r}")
        self.year = str(year)
        self.split = split
        self.resolution = resolution
        super().__init__(data_root, **kwargs)

    def list_videos(self) -> list[str]:
        """Video names in the list of the split."""
        path = Path('ImageSets', self.year, f'{self.split}.txt')
        own = Path('ImageSets', '480p', f'{self.split}.txt')
        if self.year == '2016' and not Path(self.data_root, path).exists() and Path(self.data_root, own).exists():
            # each line has the paths of a frame and its mask; sequences are in the order of their first frames
            return list(dict.fromkeys(Path(line.split()[0]).parent.name for line in self.read_list(own)))
        return self.read_list(path)

    def describe_video(self, name: str) -> dict[str, Any]:
        """Frames and masks of a sequence."""
        frame_paths, frame_names = list_frames(Path(self.data_root, 'JPEGImages', self.resolution, name))
        public = not self.split.startswith('test')
        folder = Path(self.data_root, 'Annotations', self.resolution, name)
        masks = match_masks(folder, frame_names, complete=public)
        first = masks[0] or str(folder / f'{frame_names[0]}.png')
        check_masks(masks if public else [first], frame_paths[0])
        return dict(
            frame_paths=frame_paths,
            frame_names=frame_names,
            given={0: (first, None)},
            gt_paths=masks if public else [None] * len(frame_paths),
        )

    def read_mask(self, path: str) -> np.ndarray:
        """Read a label map, with one object for 2016."""
        return (read_label_map(path) > 0).astype(np.uint8) if self.year == '2016' else super().read_mask(path)
