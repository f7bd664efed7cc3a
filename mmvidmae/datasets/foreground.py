"""Foreground segmentation of single frames, for mmsegmentation."""

try:
    from mmseg.datasets import BaseSegDataset
except ImportError as error:
    raise ImportError(
        'DAVISForegroundDataset is for mmsegmentation: python -m mmvidmae.utils.check_env prints the pip line for what '
        'is missing'
    ) from error

from mmvidmae.registry import DATASETS

from .video_sequences import DAVISDataset


@DATASETS.register_module()
class DAVISForegroundDataset(BaseSegDataset):
    """DAVIS frames with two classes, background and foreground. Foreground is every object of DAVIS-2016.

    Args:
        data_root: Dataset folder, see :class:`DAVISDataset`.
        split: ``'train'`` or ``'val'`` of DAVIS-2016.
        resolution: ``'480p'`` or ``'Full-Resolution'``.
        sequences: Sequence names, used instead of the split's list.
        **kwargs: Arguments of mmseg's ``BaseSegDataset``.

    Raises:
        FileNotFoundError, ValueError: As :class:`DAVISDataset`.
    """

    METAINFO = dict(classes=('background', 'foreground'), palette=[[0, 0, 0], [128, 0, 0]])

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        resolution: str = '480p',
        sequences: list[str] | None = None,
        **kwargs,
    ) -> None:
        self._videos = dict(year='2016', split=split, resolution=resolution, sequences=sequences)
        super().__init__(data_root=data_root, reduce_zero_label=False, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the frames and masks of all sequences."""
        videos = DAVISDataset(self.data_root, **self._videos)
        foreground = dict.fromkeys((*range(2, 11), 255), 1)  # DAVIS-2016 uses 255, DAVIS-2017 uses ids
        return [
            dict(img_path=frame, seg_map_path=mask, label_map=foreground, reduce_zero_label=False, seg_fields=[])
            for video in map(videos.get_data_info, range(len(videos)))
            for frame, mask in zip(video['frame_paths'], video['gt_paths'], strict=True)
        ]
