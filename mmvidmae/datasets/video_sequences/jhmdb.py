"""JHMDB with joint positions."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from mmvidmae.registry import DATASETS

from .base import VideoProblem, VideoSequenceDataset, list_frames


@DATASETS.register_module()
class JHMDBDataset(VideoSequenceDataset):
    """JHMDB as distributed: ``Rename_Images/<class>/<video>/00001.png``,
    ``joint_positions/<class>/<video>/joint_positions.mat``, ``splits/<class>_test_split<n>.txt``.

    By default, the videos are the test videos of a split of the dataset. With ``ann_file``, they are those of the list.
    Each line of a list names a ``.mat`` file and a folder of frames, in either order, as in UVC's and CRW's lists (268
    videos of split 1). Only the parts ``<class>/<video>`` of these paths are used. Frames after the last annotated one
    are predicted but not scored. Frames must be numbered without gaps, so that joints and frames correspond.

    Args:
        data_root: Folder of the dataset.
        ann_file: List below ``data_root``, used instead of the splits.
        split: Split number 1, 2 or 3.
        **kwargs: See :class:`VideoSequenceDataset`.
    """

    METAINFO = dict(
        dataset_type='jhmdb',
        joint_names=(
            *('neck', 'belly', 'face', 'right shoulder', 'left shoulder', 'right hip', 'left hip', 'right elbow'),
            *('left elbow', 'right knee', 'left knee', 'right wrist', 'left wrist', 'right ankle', 'left ankle'),
        ),
    )

    def __init__(self, data_root: str, ann_file: str | None = None, split: int = 1, **kwargs: Any) -> None:
        self.split = split
        super().__init__(data_root, ann_file, **kwargs)

    def list_videos(self) -> list[str]:
        """Video names ``<class>/<video>`` of the split, class by class."""
        lists = sorted(Path(self.data_root, 'splits').glob(f'*_test_split{self.split}.txt'))
        if not lists:
            raise FileNotFoundError(f'{self.data_root}/splits has no *_test_split{self.split}.txt')
        names = []
        for path in lists:
            label = path.name.removesuffix(f'_test_split{self.split}.txt')
            for _, video, part in self.read_pairs(path.relative_to(self.data_root)):
                if part == '2':  # 1: training
                    names.append(f'{label}/{video.removesuffix(".avi")}')
        return names

    def read_list(self, path: str) -> list[str]:
        """Video names ``<class>/<video>``, in the order of the list."""
        names = []
        for where, *pair in self.read_pairs(path):
            mat, folder = sorted(map(Path, pair), key=lambda column: column.suffix != '.mat')
            if mat.suffix != '.mat' or folder.suffix == '.mat' or len(mat.parts) < 3:
                raise ValueError(f'{where}: expected one .mat file and one folder, got {" ".join(pair)}')
            if mat.parts[-3:-1] != folder.parts[-2:]:
                raise ValueError(f'{where}: joints and frames of different videos: {" ".join(pair)}')
            names.append('/'.join(folder.parts[-2:]))
        return names

    def describe_video(self, name: str) -> dict[str, Any]:
        """Frames and joints of a video."""
        folder = Path(self.data_root, 'Rename_Images', name)
        frame_paths, frame_names = list_frames(folder)
        for number, stem in enumerate(frame_names, 1):
            if not stem.isdecimal() or int(stem) != number:
                raise VideoProblem(f'{folder}: {stem} is frame {number} of the folder; 00001, 00002, ... are expected')
        path = Path(self.data_root, 'joint_positions', name, 'joint_positions.mat')
        try:
            positions = np.asarray(loadmat(str(path), variable_names=['pos_img'])['pos_img'], dtype=np.float64)
        except FileNotFoundError as error:
            raise VideoProblem(f'{path}: No such file or directory') from error
        except Exception as error:  # scipy raises errors of many types on damaged files
            raise VideoProblem(f'{path}: not a readable file of joint positions ({error!r})') from error
        if positions.ndim == 2:  # MATLAB drops the axis of one frame
            positions = positions[..., None]
        if positions.ndim != 3 or len(positions) != 2 or positions.size == 0:
            raise VideoProblem(f'{path}: pos_img must be 2 x joints x frames, not {positions.shape}')
        if positions.shape[2] > len(frame_paths):
            raise VideoProblem(f'{path}: joints of {positions.shape[2]} frames, but {len(frame_paths)} frames')
        return dict(frame_paths=frame_paths, frame_names=frame_names, gt_joints=positions.transpose(2, 1, 0) - 1)

    def prepare_data(self, idx: int) -> Any:
        """Add the joints of the first frame to an item and run the pipeline."""
        info = self.get_data_info(idx)
        return self.pipeline(dict(info, reference_joints=info['gt_joints'][0]))
