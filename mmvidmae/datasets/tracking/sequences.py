"""Tracking sequences without a class in mmtrack, as mmtrack datasets."""

import mmvidmae.compat.mmtrack.enabled  # noqa: F401 (makes mmtrack importable)

# isort: split
import os
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from mmtrack.datasets import BaseSOTDataset
from mmtrack.datasets.samplers import VideoSampler

from mmvidmae.registry import DATA_SAMPLERS, DATASETS

from ..samplers import SeededItems
from ..sources import image_names
from .annotations import read_boxes, read_flags, read_lines


@DATASETS.register_module()
class SequenceFolderDataset(SeededItems, BaseSOTDataset):
    """Dataset of a folder of sequences for training, testing and evaluation. Each sequence has frames and a text file
    of boxes.

    ``frames``, ``annotation``, ``invisible`` and ``cover`` are path patterns below ``data_root`` with the sequence's
    ``{name}``.

    Args:
        data_root: Folder of the sequences.
        ann_file: File with the names of the sequences to use, one per line. By default all folders with an annotation
            are used, sorted by name.
        frames: Folder of a sequence's images, which are read in natural order.
        annotation: File of boxes (see :func:`read_boxes`).
        invisible: Files of flags, 1 where the target is invisible.
        cover: File of GOT-10k's cover values, 0 where the target is invisible.
        one_based: Whether box coordinates start at 1.
        **kwargs: Further arguments of mmtrack's ``BaseSOTDataset``.

    Raises:
        ValueError: When the list is read, if there are no sequences, the numbers of frames and boxes of a sequence
            differ, or the first frame of a test sequence has no box. The message names the file.
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str = '',
        frames: str = '{name}/img',
        annotation: str = '{name}/groundtruth_rect.txt',
        invisible: Sequence[str] = (),
        cover: str | None = None,
        one_based: bool = False,
        **kwargs,
    ) -> None:
        self.frames = frames
        self.annotation = annotation
        self.invisible = tuple(invisible)
        self.cover = cover
        self.one_based = one_based
        self._video = lru_cache(64)(self._read_video)
        super().__init__(data_root=data_root, ann_file=ann_file, data_prefix=dict(img_path=''), **kwargs)

    @property
    def metainfo(self) -> dict:
        """Meta information, as in MMEngine. After its list is read, a test dataset adds ``sequences`` and
        ``has_ground_truth``. ``sequences`` are the names of the sequences in results: the last folder if these are
        unique, else the full name. ``has_ground_truth`` is whether any sequence has boxes beyond the first frame."""
        metainfo = super().metainfo
        if self._fully_initialized and self.test_mode:  # the metainfo of datasets mixed for training must agree
            infos = [self.get_data_info(index) for index in range(self.num_videos)]
            last = Counter(info['name'].rsplit('/', 1)[-1] for info in infos)
            short = all(count == 1 for count in last.values())
            metainfo['sequences'] = [info['name'].rsplit('/', 1)[-1] if short else info['name'] for info in infos]
            metainfo['has_ground_truth'] = any(info['has_ground_truth'] for info in infos)
        return metainfo

    def load_data_list(self) -> list[dict]:
        """List the sequences with their names and numbers of frames."""
        names = self.sequence_names()
        if not names:
            raise ValueError(f'{self.ann_file or self.data_root}: there are no sequences')
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ValueError(f'{self.ann_file}: listed more than once: {", ".join(twice[:10])}')
        return [self._check(name) for name in names]

    def sequence_names(self) -> list[str]:
        """Sequence names from the list or the folder."""
        if self.ann_file:
            return [line.strip() for line in read_lines(self.ann_file) if line.strip()]
        if not os.path.isdir(self.data_root):
            raise ValueError(f'{self.data_root}: no such folder')
        first, *rest = (re.escape(part) for part in self.annotation.split('{name}'))
        pattern = re.compile(f'{first}(?P<name>.+){"(?P=name)".join(rest)}')
        found = Path(self.data_root).glob(self.annotation.replace('{name}', '*'))
        matches = (pattern.fullmatch(path.relative_to(self.data_root).as_posix()) for path in found)
        return sorted(match['name'] for match in matches if match)

    def __getitem__(self, idx: int) -> dict:
        """Return an item, in training a pair. If the sequence is unsuitable, the pair is from another one."""
        try:
            return super().__getitem__(idx)
        except Exception as error:
            if 'Cannot find valid image' not in str(error):
                raise
            raise ValueError(
                f'{self.ann_file or self.data_root}: {self.max_refetch + 1} sequences in a row gave no pair. With the '
                'defaults of CausalPairSampling a sequence needs 20 frames, and the target in 5 of them'
            ) from error

    def get_len_per_video(self, video_idx: int) -> int:
        """Number of frames of a video."""
        return self.get_data_info(video_idx)['num_frames']

    def get_img_infos_from_video(self, video_idx: int) -> dict:
        """Paths and numbers of the frames of a video."""
        paths = self._paths(self.get_data_info(video_idx)['name'])
        return dict(video_id=video_idx, frame_ids=np.arange(len(paths)), img_paths=paths, video_length=len(paths))

    def get_bboxes_from_video(self, video_idx: int) -> np.ndarray:
        """Boxes ``(T, 4)`` (x, y, w, h) in pixels, NaN in frames without a target."""
        return self._video(self.get_data_info(video_idx)['name'])[0].copy()

    def get_visibility_from_video(self, video_idx: int) -> dict:
        """Visibility of the target in each frame, ``(T,)`` bool."""
        return dict(visible=self._video(self.get_data_info(video_idx)['name'])[1].copy())

    def prepare_train_data(self, video_idx: int) -> dict | None:
        """Draw a pair of a video; None if the video is unsuitable."""
        info = dict(**self.get_img_infos_from_video(video_idx), **self.get_ann_infos_from_video(video_idx))
        return self.pipeline([info])

    def _path(self, pattern: str, name: str) -> str:
        return os.path.join(self.data_root, pattern.format(name=name))

    def _paths(self, name: str) -> list[str]:
        folder = self._path(self.frames, name)
        try:
            return [os.path.join(folder, frame) for frame in image_names(folder)]
        except OSError as error:
            raise ValueError(f'{folder}: {error.strerror}, but frames of {name} should be there') from error

    def _read_video(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        boxes = read_boxes(self._path(self.annotation, name), self.one_based)
        visible = ~np.isnan(boxes).any(1)
        flags = [(pattern, True) for pattern in self.invisible] + ([(self.cover, False)] if self.cover else [])
        for pattern, hides in flags:
            values = read_flags(self._path(pattern, name)) != 0
            if len(values) != len(boxes):
                raise ValueError(f'{self._path(pattern, name)}: {len(values)} flags for {len(boxes)} boxes')
            visible &= values != hides
        return boxes, visible

    def _check(self, name: str) -> dict:
        boxes, _ = self._video(name)
        annotation, num_frames = self._path(self.annotation, name), len(self._paths(name))
        if len(boxes) != num_frames and not (self.test_mode and len(boxes) == 1):
            raise ValueError(
                f'{annotation}: {len(boxes)} boxes for the {num_frames} frames in {self._path(self.frames, name)}'
            )
        if self.test_mode and np.isnan(boxes[0]).any():
            raise ValueError(f'{annotation}, line 1: the first box has no size, so there is nothing to track')
        return dict(name=name, num_frames=num_frames, has_ground_truth=not np.isnan(boxes[1:]).all())

    def get_ann_infos_from_video(self, video_idx: int) -> dict:
        """Boxes (x1, y1, x2, y2), their validity, and visibility. If only the first frame has a box, as in data of test
        servers, the other frames have NaN."""
        infos = super().get_ann_infos_from_video(video_idx)
        missing = self.get_len_per_video(video_idx) - len(infos['bboxes'])
        if missing:
            infos['bboxes'] = np.concatenate((infos['bboxes'], np.full((missing, 4), np.nan)))
            for name in ('bboxes_isvalid', 'visible'):
                infos[name] = np.concatenate((infos[name], np.zeros(missing, bool)))
        return infos


@DATASETS.register_module()
class LaSOTExtDataset(SequenceFolderDataset):
    """LaSOT's extension with 15 classes (arXiv:2009.03465): ``<class>/<class>-<number>/``, in the layout of LaSOT."""

    def __init__(self, **kwargs) -> None:
        super().__init__(
            frames='{name}/img',
            annotation='{name}/groundtruth.txt',
            invisible=('{name}/full_occlusion.txt', '{name}/out_of_view.txt'),
            **kwargs,
        )

    def sequence_names(self) -> list[str]:
        """Sequence names ``<class>/<sequence>``."""
        if self.ann_file:
            return super().sequence_names()
        return sorted('/'.join(path.parts[-3:-1]) for path in Path(self.data_root).glob('*/*/groundtruth.txt'))


@DATASETS.register_module()
class TNL2KDataset(SequenceFolderDataset):
    """TNL2K (arXiv:2103.16746): ``<sequence>/imgs/`` and ``<sequence>/groundtruth.txt``."""

    def __init__(self, **kwargs) -> None:
        super().__init__(frames='{name}/imgs', annotation='{name}/groundtruth.txt', **kwargs)


@DATASETS.register_module()
class NFSDataset(SequenceFolderDataset):
    """NFS (arXiv:1703.05884), as downloaded or in the layout of PyTracking.

    The download has ``<name>/<fps>/<name>/`` and ``<name>/<fps>/<name>.txt``. PyTracking's layout is used if there is a
    folder ``sequences``: ``sequences/<name>/`` and ``anno/nfs_<name>.txt``. If the boxes are for 240 frames per second
    and the images for 30, every eighth box is used. One surplus image or box is dropped. Both are as in
    ``got-10k/toolkit@6524cf8:got10k/datasets/nfs.py``.

    Args:
        data_root: Folder of the dataset.
        fps: Frames per second of the download, 30 or 240.
        **kwargs: Arguments of :class:`SequenceFolderDataset`.
    """

    def __init__(self, data_root: str, fps: int = 30, **kwargs) -> None:
        if os.path.isdir(os.path.join(data_root, 'sequences')):
            layout = dict(frames='sequences/{name}', annotation='anno/nfs_{name}.txt')
        else:
            layout = dict(frames=f'{{name}}/{fps}/{{name}}', annotation=f'{{name}}/{fps}/{{name}}.txt')
        super().__init__(data_root=data_root, **layout, **kwargs)

    def _read_video(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        boxes, visible = super()._read_video(name)
        num_frames = len(super()._paths(name))
        step = 8 if abs(len(boxes) / max(num_frames, 1) - 8) < 1 else 1
        boxes, visible = boxes[::step], visible[::step]
        end = num_frames if len(boxes) == num_frames + 1 else len(boxes)
        return boxes[:end], visible[:end]

    def _paths(self, name: str) -> list[str]:
        paths, num_boxes = super()._paths(name), len(self._video(name)[0])
        return paths[:num_boxes] if len(paths) == num_boxes + 1 > 2 else paths


@DATASETS.register_module()
class GOT10kSequences(SequenceFolderDataset):
    """GOT-10k with all boxes and the visibility of the target (cover above 0), which AO and SR need. In a test,
    mmtrack's own class gives only the first box of each sequence."""

    def __init__(self, **kwargs) -> None:
        super().__init__(frames='{name}', annotation='{name}/groundtruth.txt', cover='{name}/cover.label', **kwargs)


@DATA_SAMPLERS.register_module()
class SequenceSampler(VideoSampler):
    """mmtrack's ``VideoSampler``, which keeps videos whole and in order, with a check of the data before tracking.

    Each video must have a box for every frame or for the first frame only. Its first and last frame must exist.

    Args:
        dataset: A dataset of mmtrack's single-object tracking, in test mode.
        seed: Not used.

    Raises:
        ValueError: If a video is incomplete. The message names the files.
    """

    def __init__(self, dataset: BaseSOTDataset, seed: int = 0) -> None:
        super().__init__(dataset, seed)
        if not isinstance(dataset, SequenceFolderDataset):  # which has checked its data
            for index in range(dataset.num_videos):
                _check_video(dataset, index)


def _check_video(dataset: BaseSOTDataset, index: int) -> None:
    info = dataset.get_data_info(index)
    paths = dataset.get_img_infos_from_video(index)['img_paths']
    annotation = os.path.join(dataset.data_prefix['img_path'], info.get('ann_path', f'video {index}'))
    try:
        num_boxes = len(dataset.get_bboxes_from_video(index))
    except (AssertionError, OSError, ValueError) as error:
        raise ValueError(f'{annotation}: its boxes cannot be read: {error}') from error
    if num_boxes not in (1, len(paths)):
        raise ValueError(f'{annotation}: {num_boxes} boxes, but {dataset.ann_file} lists {len(paths)} frames')
    for path in (paths[0], paths[-1]):
        if not os.path.isfile(path):
            raise ValueError(f'{path}: no such file, but {dataset.ann_file} lists it')
