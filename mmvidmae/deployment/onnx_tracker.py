"""Tracking with an exported DropTrack, by onnxruntime."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmvidmae.models.trackers import SingleObjectTracker, TemplateTracker

from .metadata import from_strings
from .packages import require_packages


class OnnxTracker(TemplateTracker):
    """Tracker whose network is an ONNX file of ``tools/deployment/export.py``. Crops, states and boxes are those of
    :class:`DropTrack`; the file says all sizes.

    Args:
        path: The file.
        device: ``'cpu'``, ``'cuda'``, or None for the GPU if onnxruntime can use one.
        test_cfg: Options for testing, see :class:`SingleObjectTracker`.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If onnxruntime is not installed.
        ValueError: If the file is damaged or no exported tracker, or onnxruntime has no such device.
    """

    test_defaults = SingleObjectTracker.test_defaults  # the graph has one template

    def __init__(
        self, path: str | Path, device: str | torch.device | None = None, test_cfg: dict | None = None
    ) -> None:
        session, metadata = open_session(path, device)
        if metadata.get('kind') != 'tracker':
            raise ValueError(f'{path} is an exported {metadata.get("kind")}, and no tracker: export a DropTrack')
        super().__init__(
            metadata['template_size'],
            metadata['search_size'],
            metadata['template_factor'],
            metadata['search_factor'],
            dict(margin=metadata['margin']) | (test_cfg or {}),
            dict(type='mmvidmae.CropPreprocessor', mean=metadata['mean'], std=metadata['std']),
        )
        self.num_modalities = metadata['num_modalities']
        self.metadata = metadata
        self.session = session
        self.eval()

    def forward(self, inputs: dict[str, Tensor], data_samples: list | None = None, mode: str = 'tensor') -> Any:
        """Entry point of MMEngine.

        Args:
            inputs: Normalized crops, ``img`` for the templates and ``search_img`` for the search regions. For
                ``'predict'``, a whole frame, see :meth:`predict`.
            data_samples: See :meth:`predict`.
            mode: ``'tensor'`` returns boxes and scores, ``'predict'`` data samples.

        Raises:
            RuntimeError: In mode ``'loss'``, since the model cannot be trained.
        """
        if mode == 'predict':
            return self.predict(inputs, data_samples or [])
        if mode == 'tensor':
            return self.locate(inputs['img'], inputs['search_img'])
        raise RuntimeError(f"an exported model cannot be trained: its modes are 'predict' and 'tensor', not {mode!r}")

    def locate(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        """Locate targets, see :meth:`TemplateTracker.locate`."""
        inputs = dict(template=template.cpu().numpy(), search=search.cpu().numpy())
        boxes, scores = self.session.run(['boxes', 'scores'], inputs)
        return torch.from_numpy(boxes), torch.from_numpy(scores)


def open_session(path: str | Path, device: str | torch.device | None = None) -> tuple[Any, dict[str, Any]]:
    """Open an ONNX file of ours with as many threads as PyTorch has.

    Args:
        path: The file.
        device: See :class:`OnnxTracker`.

    Returns:
        onnxruntime's session, and the metadata of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If onnxruntime is not installed.
        ValueError: If the file is damaged or has no metadata of ours, or onnxruntime has no such device.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path} does not exist')
    (onnxruntime,) = require_packages('an ONNX file', 'onnxruntime')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=_providers(onnxruntime, device))
    except Exception as error:  # onnxruntime has a dozen errors without a common class
        raise ValueError(f'{path} cannot be loaded by onnxruntime: {error}') from error
    return session, from_strings(session.get_modelmeta().custom_metadata_map, path)


def read_onnx_metadata(path: str | Path) -> dict[str, Any]:
    """Read the metadata of an ONNX file. See :func:`open_session` for the errors."""
    return open_session(path, 'cpu')[1]


def _providers(onnxruntime: Any, device: str | torch.device | None) -> list[str]:
    cpu, gpu = 'CPUExecutionProvider', 'CUDAExecutionProvider'
    kind = None if device is None else torch.device(device).type
    if kind not in (None, 'cpu', 'cuda'):
        raise ValueError(f'an ONNX file runs on cpu or cuda, not on {device}')
    available = gpu in onnxruntime.get_available_providers()
    if kind == 'cuda' and not available:
        raise ValueError('this onnxruntime has no GPU: run `pip install onnxruntime-gpu`, or use the device cpu')
    return [gpu, cpu] if available and kind != 'cpu' else [cpu]
