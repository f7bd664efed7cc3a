"""DAVIS 2016 and 2017."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmvidmae.registry import DATASETS
from mmvidmae.structures.label_maps import read_label_map

from .base import MaskVideoDataset, check_masks, list_frames, match_masks


@DATASETS.register_module()
class DAVISDataset(MaskVideoDataset):
    """DAVIS as it is distributed: ``{JPEGImages,Annotations}/<resolution>/<sequence>/00000.{jpg,png}``, ``ImageSets``.

    In 2017 the objects of a sequence have ids of their own and 255 is void, which is background here. In 2016 there is
    one object: whatever is not 0 (in that year's release it is 255). Of ``test-dev`` and ``test-challenge`` only the
    first frame has a mask.

    Args:
        data_root: Folder of the data set.
        year: ``'2016'`` or ``'2017'``.
        split: Name of a list, ``ImageSets/<year>/<split>.txt``; for 2016 that year's own
            ``ImageSets/480p/<split>.txt`` with its paths will do too.
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
        """Names in the list of the split."""
        path = Path('ImageSets', self.year, f'{self.split}.txt')
        own = Path('ImageSets', '480p', f'{self.split}.txt')
        if self.year == '2016' and not Path(self.data_root, path).exists() and Path(self.data_root, own).exists():
            # lines of a frame's and a mask's path: the sequences in the order of their first frames
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
        """Label map; one object in 2016."""
        return (read_label_map(path) > 0).astype(np.uint8) if self.year == '2016' else super().read_mask(path)
