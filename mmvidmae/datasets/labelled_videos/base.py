"""Videos with the labels that propagation starts from and is scored by."""

import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from PIL import Image

from mmvidmae.evaluation.id_maps import read_id_map

from ..sources import image_names

MOST_PROBLEMS = 20
"""How many problems an error lists."""


class LabelledVideoDataset(BaseDataset):
    """Base of datasets whose items are whole videos, for frozen evaluation.

    The whole list is checked when the dataset is built: folders, files, sizes of given masks. All problems are
    collected into one error, so that nothing is found out after hours of work. An image that turns out to be damaged
    raises :class:`UnreadableClip` when its video is loaded.

    What an item holds, before the pipeline: ``video_name``, ``frame_paths``, ``frame_names`` and the labels, see
    ``docs/evaluation_data.md``.

    Args:
        data_root: Folder of the data set.
        sequences: Names of the videos to take, in this order, in place of the official list.
        pipeline: Transforms, the first of them :class:`LoadVideoFrames`.
        **kwargs: Of MMEngine's ``BaseDataset``.

    Raises:
        FileNotFoundError: If there is no such folder or list.
        ValueError: If the list is empty, or anything in it is missing or does not fit; names up to 20 problems.
    """

    def __init__(
        self, data_root: str, sequences: Sequence[str] | None = None, pipeline: Sequence[dict] = (), **kwargs: Any
    ) -> None:
        self.sequences = sequences
        super().__init__(data_root=data_root, pipeline=list(pipeline), test_mode=True, **kwargs)

    @abstractmethod
    def list_videos(self) -> list[str]:
        """Names of the videos of the official list."""

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
        names = list(self.sequences) if self.sequences is not None else self.list_videos()
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

    def read_names(self, path: str | Path) -> list[str]:
        """Lines of a list below ``data_root``, without blank ones.

        Raises:
            FileNotFoundError: If there is no such file.
        """
        path = Path(self.data_root, path)
        if not path.is_file():
            raise FileNotFoundError(f'{type(self).__name__}: the list {path} is missing; sequences=[...] does without')
        return [line.strip() for line in path.read_text(encoding='utf-8-sig').splitlines() if line.strip()]


class MaskVideoDataset(LabelledVideoDataset):
    """Base of datasets with id maps: ``prepare_data`` adds ``given_masks``, read by :meth:`read_mask`.

    A description holds ``given``, for each frame with given labels ``(path, ids)``, where ids are those that are given
    there, or None for all; and ``gt_paths``.
    """

    def read_mask(self, path: str) -> np.ndarray:
        """Id map ``(H, W)``, uint8, with void as background."""
        mask = read_id_map(path)
        return np.where(mask == 255, 0, mask).astype(np.uint8)

    def prepare_data(self, idx: int) -> Any:
        """The item, with the given masks, through the pipeline."""
        info = self.get_data_info(idx)
        given = {}
        for frame, (path, ids) in info.pop('given').items():
            mask = self.read_mask(path)
            given[frame] = mask if ids is None else np.where(np.isin(mask, ids), mask, 0).astype(np.uint8)
        if not any(mask.any() for mask in given.values()):
            paths = ', '.join(path for path, _ in self.get_data_info(idx)['given'].values())
            raise ValueError(f'video {info["video_name"]}: no object is given in {paths}')
        return self.pipeline(dict(info, given_masks=given))


class VideoProblem(Exception):
    """What is wrong with a video: its arguments are messages that name the files."""


def list_frames(folder: str | Path) -> tuple[list[str], list[str]]:
    """Paths and stems of the images of a folder, in natural order.

    Raises:
        VideoProblem: If the folder is missing, has no images or empty files.
    """
    try:
        names = image_names(str(folder))
    except OSError as error:
        raise VideoProblem(f'{folder}: {error.strerror or error}') from error
    if not names:
        raise VideoProblem(f'{folder}: no images')
    paths = [os.path.join(folder, name) for name in names]
    empty = [f'{path}: the file is empty' for path in paths if os.path.getsize(path) == 0]
    if empty:
        raise VideoProblem(*empty)
    return paths, [os.path.splitext(name)[0] for name in names]


def check_masks(paths: Sequence[str], frame_path: str) -> None:
    """Check that masks are there and as large as a frame, by their headers alone.

    Raises:
        VideoProblem: With all that is wrong.
    """
    problems = []
    size = _size(frame_path, problems)
    for path in paths:
        mask_size = _size(path, problems)
        if size and mask_size and size != mask_size:
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
        stems = {os.path.splitext(name)[0] for name in os.listdir(folder) if name.endswith('.png')}
    except OSError as error:
        raise VideoProblem(f'{folder}: {error.strerror or error}') from error
    problems = [f'{folder}: {stem}.png has no frame' for stem in sorted(stems - set(frame_names))]
    if complete:
        problems += [f'{folder}: {stem}.png is missing' for stem in frame_names if stem not in stems]
    if problems:
        raise VideoProblem(*problems)
    return [os.path.join(folder, f'{stem}.png') if stem in stems else None for stem in frame_names]


def _size(path: str, problems: list[str]) -> tuple[int, int] | None:
    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        problems.append(f'{path}: {error.strerror or "not a readable image"}')
        return None


def pairs_of(lines: Iterator[str] | Sequence[str], path: str | Path) -> list[tuple[str, str]]:
    """Two columns of a list.

    Raises:
        ValueError: Naming the file, the line and what it holds.
    """
    pairs = []
    for number, line in enumerate(lines, 1):
        columns = line.split()
        if len(columns) != 2:
            raise ValueError(f'{path}:{number}: expected two paths, got {line!r}')
        pairs.append((columns[0], columns[1]))
    return pairs
