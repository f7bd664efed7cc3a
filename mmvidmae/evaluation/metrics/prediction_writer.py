"""Predicted masks as files, and as what the benchmarks' servers take."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mmvidmae.structures.label_maps import write_label_map
from mmvidmae.utils.files import atomic_write

SUBMISSION_FOLDERS = {'davis': '', 'youtube_vos': 'Annotations/'}
"""Where a server wants the folders of videos in its zip: DAVIS at the top, YouTube-VOS in ``Annotations``."""


class PredictionWriter:
    """Writes label maps to ``<out_dir>/<video>/<frame>.png``, palette PNGs as DAVIS has them.

    Args:
        out_dir: Folder for all videos; other files in it are left alone.
    """

    def __init__(self, out_dir: str | Path) -> None:
        self.out_dir = Path(out_dir)

    def write(self, video_name: str, frame_names: Sequence[str], masks: np.ndarray) -> None:
        """Write the masks ``(T, H, W)``, uint8, of a video, each in one step."""
        for frame_name, mask in zip(frame_names, masks, strict=True):
            write_label_map(self._path(video_name, frame_name), mask)

    def pack(self, path: str | Path, videos: Mapping[str, Sequence[str]], server: str) -> None:
        """Pack the written masks of these videos, and no others that may lie around, for a server.

        Args:
            path: The zip file.
            videos: Frame names by video name.
            server: A key of :data:`SUBMISSION_FOLDERS`.

        Raises:
            FileNotFoundError: If a mask is not there, as where the ranks of a run have no folder in common.
        """
        with atomic_write(path) as part, zipfile.ZipFile(part, 'w') as archive:  # PNGs are compressed already
            for video_name, frame_names in videos.items():
                for frame_name in frame_names:
                    source = self._path(video_name, frame_name)
                    if not source.is_file():
                        raise FileNotFoundError(
                            f'{source} is missing, so no submission was packed: out_dir must be a folder that all '
                            'ranks share'
                        )
                    archive.write(source, f'{SUBMISSION_FOLDERS[server]}{video_name}/{frame_name}.png')

    def _path(self, video_name: str, frame_name: str) -> Path:
        return self.out_dir / video_name / f'{frame_name}.png'
