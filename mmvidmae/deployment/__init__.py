"""Models outside of PyTorch's model code: export to ONNX and ``torch.export``, and tracking with onnxruntime."""

from .exporting import LOWEST_OPSET, TOLERANCE, Exported, export_model, to_program
from .metadata import read_program_metadata
from .onnx_tracker import OnnxTracker, open_session, read_onnx_metadata
from .parts import Part, parts_of

__all__ = [
    'LOWEST_OPSET',
    'TOLERANCE',
    'Exported',
    'OnnxTracker',
    'Part',
    'export_model',
    'open_session',
    'parts_of',
    'read_onnx_metadata',
    'read_program_metadata',
    'to_program',
]
