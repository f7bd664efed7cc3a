"""Videos with the labels that propagation starts from and is scored by."""

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
"""How many problems an error lists."""


class VideoSequenceDataset(BaseDataset):
    """Base of datasets whose items are whole videos, for frozen evaluation.

    The whole list is checked when the dataset is built: folders, files, headers of masks. All problems are collected
    into one error, so that little is left to be found out after hours of work. Images are not decoded for that: a frame
    that turns out to be damaged raises :class:`VideoReadError` when its video is loaded.

    What an item holds, before the pipeline: ``video_name``, ``frame_paths``, ``frame_names`` and the labels, see
    ``docs/evaluation_data.md``.

    Args:
        data_root: Folder of the data set.
        ann_file: A list below ``data_root`` with the name of a video a line, in place of the official list.
        sequences: Names of the videos to take, in this order, in place of any list.
        pipeline: Transforms, the first of them :class:`LoadVideoFrames`.
        **kwargs: Of MMEngine's ``BaseDataset``.

    Raises:
        FileNotFoundError: If there is no such folder or list.
        TypeError: If ``sequences`` is a string.
        ValueError: If the list is empty, or anything in it is missing or does not fit; names up to 20 problems.
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
        """Names of the videos of the official list, in its order."""

    def read_list(self, path: str) -> list[str]:
        """Names of the videos of the list that the user gave, in its order."""
        return [line for _, line in self.read_lines(path)]

    @abstractmethod
    def describe_video(self, name: str) -> dict[str, Any]:
        """What is known of a video without decoding anything.

        Raises:
            VideoProblem: If something is missing or does not fit.
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
        """Where each line of a list below ``data_root`` is, ``<file>:<number>``, and what it says; no blank ones.

        Raises:
            FileNotFoundError: If there is no such file.
        """
        path = Path(self.data_root, path)
        if not path.is_file():
            raise FileNotFoundError(f'{type(self).__name__}: the list {path} is missing; sequences=[...] does without')
        lines = enumerate(path.read_text(encoding='utf-8-sig').splitlines(), 1)
        return [(f'{path}:{number}', line.strip()) for number, line in lines if line.strip()]

    def read_pairs(self, path: str | Path) -> list[tuple[str, str, str]]:
        """As :meth:`read_lines`, of a list of two columns.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: For a line with more or fewer columns; says where it is and what it holds.
        """
        pairs = []
        for where, line in self.read_lines(path):
            columns = line.split()
            if len(columns) != 2:
                raise ValueError(f'{where}: expected two columns, got {line!r}')
            pairs.append((where, *columns))
        return pairs


class MaskVideoDataset(VideoSequenceDataset):
    """Base of datasets with label maps: ``prepare_data`` adds ``reference_masks``, read by :meth:`read_mask`.

    A description holds ``given``, for each frame with given labels ``(path, ids)``, where ids are those that are given
    there, or None for all; and ``gt_paths``.
    """

    def read_mask(self, path: str) -> np.ndarray:
        """Label map ``(H, W)``, uint8, with void as background.

        Raises:
            OSError, ValueError: See :func:`read_objects`.
        """
        return read_objects(path)

    def prepare_data(self, idx: int) -> Any:
        """The item, with the reference masks, through the pipeline."""
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
    """What is wrong with a video: its arguments are messages that name the files."""


def list_frames(folder: str | Path) -> tuple[list[str], list[str]]:
    """Paths and stems of the images of a folder, in natural order.

    Raises:
        VideoProblem: If the folder is missing, has no images, empty files or links to nowhere.
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
    """Check that masks are readable label maps, by their headers alone: about 0.05 ms a file.

    Args:
        sized: Masks that must be as large as the frame.
        frame_path: A frame.
        others: Masks whose size does not matter.

    Raises:
        VideoProblem: With all that is wrong.
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
    """The mask of each frame, by name; None where there is none.

    Args:
        folder: Folder of PNG files named as the frames.
        frame_names: Stems of the frames.
        complete: Whether all frames must have one.

    Raises:
        VideoProblem: If masks are missing, or frames for masks that there are.
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
    """Upright size ``(W, H)`` and Pillow's mode of an image; no size, and a problem more, if it has none."""
    try:
        return image_size(path)
    except OSError as error:
        problems.append(f'{path}: {error.strerror or error}')
    except UnreadableImage as error:
        problems.append(f'{path}: {error}')
    return None, ''
