"""Video Instance Parsing (VIP)."""

from pathlib import Path
from typing import Any

from mmvidmae.registry import DATASETS

from .base import MaskVideoDataset, check_masks, list_frames, match_masks


@DATASETS.register_module()
class VIPDataset(MaskVideoDataset):
    """VIP as it is distributed (``VIP_Fine``).

    That is ``Images/<video>/*.jpg``, ``Annotations/Category_ids/<video>/*.png`` with grey ids 0 to 19, and
    ``lists/val_videos.txt``.

    Args:
        data_root: Folder of the data set.
        ann_file: The list, below ``data_root``.
        **kwargs: See :class:`LabelledVideoDataset`.
    """

    METAINFO = dict(
        dataset_type='vip',
        # background and 19 parts, in the order of the ids
        classes=(
            *('background', 'hat', 'hair', 'sun-glasses', 'upper-clothes', 'dress', 'coat', 'socks', 'pants', 'gloves'),
            *('scarf', 'skirt', 'torso-skin', 'face', 'right-arm', 'left-arm', 'right-leg', 'left-leg'),
            *('right-shoe', 'left-shoe'),
        ),
    )

    def __init__(self, data_root: str, ann_file: str = 'lists/val_videos.txt', **kwargs: Any) -> None:
        self.list_file = ann_file
        super().__init__(data_root, **kwargs)

    def list_videos(self) -> list[str]:
        """Names in the list."""
        return self.read_names(self.list_file)

    def describe_video(self, name: str) -> dict[str, Any]:
        """Frames and part maps of a video."""
        frame_paths, frame_names = list_frames(Path(self.data_root, 'Images', name))
        masks = match_masks(Path(self.data_root, 'Annotations/Category_ids', name), frame_names, complete=True)
        check_masks(masks[:1], frame_paths[0])
        return dict(frame_paths=frame_paths, frame_names=frame_names, given={0: (masks[0], None)}, gt_paths=masks)
