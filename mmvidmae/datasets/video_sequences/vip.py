"""Video Instance Parsing (VIP)."""

from pathlib import Path
from typing import Any

import numpy as np

from mmvidmae.registry import DATASETS
from mmvidmae.structures.label_maps import VOID, read_label_map

from .base import MaskVideoDataset, check_masks, list_frames, match_masks


@DATASETS.register_module()
class VIPDataset(MaskVideoDataset):
    """VIP as distributed (``VIP_Fine``).

    The folder contains ``Images/<video>/*.jpg``, ``Annotations/Category_ids/<video>/*.png`` with gray ids 0 to 19, and
    ``lists/val_videos.txt``. Every frame has a mask. Consecutive frames are 25 frames of the original video apart.

    Args:
        **kwargs: See :class:`VideoSequenceDataset`.
    """

    METAINFO = dict(
        dataset_type='vip',
        # In the order of the ids, as in the authors' loader of Category_ids (vip.py of HCPLab-SYSU/ATEN). Their
        # test_parsing.py prints the names in another order, and so do CRW's and CropMAE's eval_vip.py.
        classes=(
            *('background', 'hat', 'hair', 'gloves', 'sun-glasses', 'upper-clothes', 'dress', 'coat', 'socks', 'pants'),
            *('torso-skin', 'scarf', 'skirt', 'face', 'left-arm', 'right-arm', 'left-leg', 'right-leg'),
            *('left-shoe', 'right-shoe'),
        ),
    )

    def list_videos(self) -> list[str]:
        """Video names in the list of the validation set."""
        return self.read_list('lists/val_videos.txt')

    def describe_video(self, name: str) -> dict[str, Any]:
        """Frames and part maps of a video."""
        frame_paths, frame_names = list_frames(Path(self.data_root, 'Images', name))
        masks = match_masks(Path(self.data_root, 'Annotations/Category_ids', name), frame_names, complete=True)
        check_masks(masks[:1], frame_paths[0], others=masks[1:])
        return dict(frame_paths=frame_paths, frame_names=frame_names, given={0: (masks[0], None)}, gt_paths=masks)

    def read_mask(self, path: str) -> np.ndarray:
        """Read a part map with void as background. Unlike objects, parts may be thin lines, so they are not checked."""
        parts = read_label_map(path)
        return np.where(parts == VOID, 0, parts).astype(np.uint8)
