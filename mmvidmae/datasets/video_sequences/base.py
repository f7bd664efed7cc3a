"""Base classes for datasets of annotated videos, for label propagation."""

import os
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from mmvidmae.structures.label_maps import ID_MODES, nothing_given, read_label_map, read_objects
from mmvidmae.utils.images import UnreadableImage, image_size

from ..sources import image_names

MOST_PROBLEMS = 20
"""Largest number of problems that an error lists."""


class VideoSequenceDataset(BaseDataset):
    """Base of datasets whose items are whole videos, for frozen evaluation.

    The folders, files and mask headers of all videos are checked when the dataset is built. One error reports all
    problems, so that few can appear later in a run. Images are not decoded for this check. A damaged frame raises
    :class:`VideoReadError` when its video is loaded.

    Before the pipeline, an item holds ``video_name``, ``frame_paths``, ``frame_names`` and the labels. See
    ``docs/evaluation_data.md``.

    Args:
        data_root: Folder of the dataset.
        ann_file: List below ``data_root`` with one video name per line, used instead of the official list.
        sequences: Names of the videos to use, in this order, instead of any list.
        pipeline: Transforms, beginning with :class:`LoadVideoFrames`.
        **kwargs: Arguments of MMEngine's ``BaseDataset``.

    Raises:
        FileNotFoundError: If the folder or list does not exist.
        TypeError: If ``sequences`` is a string.
        ValueError: If the list is empty, or a listed video has missing or inconsistent files. The message lists up to
            20 problems.
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str | None = None,
        sequences: Sequence[str] | None = None,
        pipeline: Sequence[dict] = (),
        **kwargs: Any,
    ) -> None:
        if isinstance(sequences, str):
            raise TypeError(f'{type(self).__name__}: sequences must be a list of names, got {sequences!r}')
        self.list_file = ann_file
        self.sequences = sequences
        super().__init__(data_root=data_root, pipeline=list(pipeline), test_mode=True, **kwargs)

    @abstractmethod
    def list_videos(self) -> list[str]:
        """Video names in the official list, in its order."""

    def read_list(self, path: str) -> list[str]:
        """Video names in the user's list, in its order."""
        return [line for _, line in self.read_lines(path)]

    @abstractmethod
    def describe_video(self, name: str) -> dict[str, Any]:
        """Describe a video without decoding images.

        Raises:
            VideoProblem: If files are missing or inconsistent.
        """

    def load_data_list(self) -> list[dict[str, Any]]:
        """Describe and check all videos."""
        root = Path(self.data_root)
        if not root.is_dir():
            raise FileNotFoundError(f'{type(self).__name__}: data_root {root} is no folder')
        if self.sequences is not None:
            names = list(self.sequences)
        else:
            names = self.list_videos() if self.list_file is None else self.read_list(self.list_file)
        if not names:
            raise ValueError(f'{type(self).__name__}: no video is listed in {root}')
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f'{type(self).__name__}: videos are listed twice: {", ".join(twice)}')
        videos, problems = [], []
        for name in names:
            try:
                videos.append(dict(video_name=name, **self.describe_video(name)))
            except VideoProblem as error:
                problems += error.args
        if problems:
            more = f'\n  and {len(problems) - MOST_PROBLEMS} more' if len(problems) > MOST_PROBLEMS else ''
            raise ValueError(
                f'{type(self).__name__}: {len(problems)} problems with {len(names)} videos; restore what is missing or '
                'leave the videos out with sequences=[...]\n  ' + '\n  '.join(problems[:MOST_PROBLEMS]) + more
            )
        return videos

    def read_lines(self, path: str | Path) -> list[tuple[str, str]]:
        """Read a list below ``data_root``: position ``<file>:<number>`` and text of each line that is not blank.

        Raises:
            FileNotFoundError: If the file does not exist.
        """
        path = Path(self.data_root, path)
        if not path.is_file():
            raise FileNotFoundError(f'{type(self).__name__}: the list {path} is missing; sequences=[...] does without')
        lines = enumerate(path.read_text(encoding='utf-8-sig').splitlines(), 1)
        return [(f'{path}:{number}', line.strip()) for number, line in lines if line.strip()]

    def read_pairs(self, path: str | Path) -> list[tuple[str, str, str]]:
        """Read a list with two columns: position, first and second column of each line, as in :meth:`read_lines`.

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If a line has more or fewer columns. The message gives its position and text.
        """
        pairs = []
        for where, line in self.read_lines(path):
            columns = line.split()
            if len(columns) != 2:
                raise ValueError(f'{where}: expected two columns, got {line!r}')
            pairs.append((where, *columns))
        return pairs


class MaskVideoDataset(VideoSequenceDataset):
    """Base of datasets with label maps. ``prepare_data`` adds ``reference_masks``, read by :meth:`read_mask`.

    The description of a video holds ``given`` and ``gt_paths``. ``given`` maps each frame with a reference mask to
    ``(path, ids)``, where ids are the objects that first appear there, or None for all.
    """

    def read_mask(self, path: str) -> np.ndarray:
        """Read a label map ``(H, W)``, uint8, with void as background.

        Raises:
            OSError, ValueError: See :func:`read_objects`.
        """
        return read_objects(path)

    def prepare_data(self, idx: int) -> Any:
        """Add the reference masks to an item and run the pipeline."""
        info = self.get_data_info(idx)
        sources = info.pop('given')
        given = {}
        for frame, (path, ids) in sources.items():
            mask = self.read_mask(path)
            given[frame] = mask if ids is None else np.where(np.isin(mask, ids), mask, 0).astype(np.uint8)
        if not any(mask.any() for mask in given.values()):
            problem = nothing_given({path: read_label_map(path) for path, _ in sources.values()})
            raise ValueError(f'video {info["video_name"]}: {problem}')
        return self.pipeline(dict(info, reference_masks=given))


class VideoProblem(Exception):
    """Problems of a video. The arguments are messages that name the files."""


def list_frames(folder: str | Path) -> tuple[list[str], list[str]]:
    """List the paths and stems of the images of a folder, in natural order.

    Raises:
        VideoProblem: If the folder is missing or has no images, or if it contains empty files or broken links.
    """
    try:
        names = image_names(str(folder))
    except OSError as error:
        raise VideoProblem(f'{folder}: {error.strerror or error}') from error
    if not names:
        raise VideoProblem(f'{folder}: no images')
    paths = [os.path.join(folder, name) for name in names]
    problems = []
    for path in paths:
        try:
            if os.path.getsize(path) == 0:
                problems.append(f'{path}: the file is empty')
        except OSError as error:
            problems.append(f'{path}: {error.strerror or error}')
    if problems:
        raise VideoProblem(*problems)
    return paths, [os.path.splitext(name)[0] for name in names]


def check_masks(sized: Sequence[str], frame_path: str, others: Sequence[str] = ()) -> None:
    """Check by their headers that masks are readable label maps. This takes about 0.05 ms per file.

    Args:
        sized: Masks that must have the size of the frame.
        frame_path: A frame of the video.
        others: Masks of any size.

    Raises:
        VideoProblem: If there are problems; it lists all of them.
    """
    problems: list[str] = []
    size, _ = _header(frame_path, problems)
    for path in (*sized, *others):
        mask_size, mode = _header(path, problems)
        if mask_size is None:
            continue
        if mode not in ID_MODES:
            problems.append(f'{path}: an image of mode {mode}, not ids in palette (P) or gray (L) values')
        if path in sized and size is not None and size != mask_size:
            problems.append(f'{path}: {mask_size[0]} x {mask_size[1]} pixels, but its frame has {size[0]} x {size[1]}')
    if problems:
        raise VideoProblem(*problems)


def match_masks(folder: str | Path, frame_names: Sequence[str], complete: bool) -> list[str | None]:
    """Find the mask of each frame by name; None for frames without a mask.

    Args:
        folder: Folder of PNG files with the names of the frames.
        frame_names: Stems of the frames.
        complete: Whether every frame must have a mask.

    Raises:
        VideoProblem: If a required mask is missing, or a mask has no frame.
    """
    try:
        names = [name for name in os.listdir(folder) if name.endswith('.png') and not name.startswith('.')]
    except OSError as error:
        raise VideoProblem(f'{folder}: {error.strerror or error}') from error
    stems = {os.path.splitext(name)[0] for name in names}
    problems = [f'{folder}: {stem}.png has no frame' for stem in sorted(stems - set(frame_names))]
    if complete:
        problems += [f'{folder}: {stem}.png is missing' for stem in frame_names if stem not in stems]
    if problems:
        raise VideoProblem(*problems)
    return [os.path.join(folder, f'{stem}.png') if stem in stems else None for stem in frame_names]


def _header(path: str, problems: list[str]) -> tuple[tuple[int, int] | None, str]:
    """Upright size ``(W, H)`` and Pillow mode of an image. If it is unreadable, return no size and add a problem."""
    try:
        return image_size(path)
    except OSError as error:
        problems.append(f'{path}: {error.strerror or error}')
    except UnreadableImage as error:
        problems.append(f'{path}: {error}')
    return None, ''
