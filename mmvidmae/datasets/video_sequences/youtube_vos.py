"""YouTube-VOS."""

import json
from pathlib import Path
from typing import Any

from mmvidmae.registry import DATASETS

from .base import MaskVideoDataset, VideoProblem, check_masks, list_frames, match_masks


@DATASETS.register_module()
class YouTubeVOSDataset(MaskVideoDataset):
    """YouTube-VOS as distributed: ``<split>/{JPEGImages,Annotations}/<video>/`` and ``<split>/meta.json``.

    The reference mask of an object is in the first frame that ``meta.json`` lists for it, which may be later than the
    first frame of the video. A reference mask holds the ids that first appear in its frame. Only the training split has
    ground truth.

    Args:
        data_root: Folder of the dataset, above the splits.
        split: ``'valid'``, ``'test'`` or ``'train'``.
        **kwargs: See :class:`VideoSequenceDataset`.
    """

    METAINFO = dict(dataset_type='youtube_vos')

    def __init__(self, data_root: str, split: str = 'valid', **kwargs: Any) -> None:
        self.split = split
        super().__init__(data_root, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read ``meta.json``, then describe and check all videos."""
        path = Path(self.data_root, self.split, 'meta.json')
        try:
            self._meta = json.loads(path.read_text())['videos']
        except FileNotFoundError as error:
            raise FileNotFoundError(f'{path} is missing: it says which objects appear when') from error
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not YouTube-VOS's list of videos and objects: {error!r}") from error
        try:
            return super().load_data_list()
        finally:
            del self._meta

    def list_videos(self) -> list[str]:
        """Video names in ``meta.json``."""
        return list(self._meta)

    def describe_video(self, name: str) -> dict[str, Any]:
        """Frames, reference masks and ground truth of a video."""
        root = Path(self.data_root, self.split)
        frame_paths, frame_names = list_frames(root / 'JPEGImages' / name)
        public = self.split.startswith('train')
        # every fifth frame has a mask in the training split, and frames where objects first appear in validation
        masks = match_masks(root / 'Annotations' / name, frame_names, complete=False)
        given: dict[int, tuple[str, list[int]]] = {}
        try:
            firsts = {int(number): entry['frames'][0] for number, entry in self._meta[name]['objects'].items()}
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise VideoProblem(f'{root}/meta.json: no objects with frames for video {name}') from error
        problems = [] if firsts else [f'{root}/meta.json: no objects with frames for video {name}']
        for number, stem in sorted(firsts.items()):
            if stem not in frame_names:
                problems.append(f'{root}/JPEGImages/{name}: {stem}.jpg, in which object {number} appears, is missing')
                continue
            frame = frame_names.index(stem)
            if masks[frame] is None:
                problems.append(f'{root}/Annotations/{name}: {stem}.png, where object {number} is given, is missing')
            given.setdefault(frame, (masks[frame], []))[1].append(number)
        if problems:
            raise VideoProblem(*problems)
        given_paths = [path for path, _ in given.values()]
        check_masks([path for path in masks if path] if public else given_paths, frame_paths[0])
        return dict(
            frame_paths=frame_paths,
            frame_names=frame_names,
            given=dict(sorted(given.items())),
            gt_paths=masks if public else [None] * len(masks),
        )
