"""Optional packages."""

import importlib
from types import ModuleType

PIP_LINE = 'pip install onnx onnxscript onnxruntime'


def require_packages(purpose: str, *names: str) -> list[ModuleType]:
    """Import packages that are optional.

    Args:
        purpose: What they are needed for, for the message.
        *names: Names of the modules.

    Raises:
        ImportError: If one of them is not installed. The message has the pip line.
    """
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        raise ImportError(f'{purpose} needs the package {error.name}: run `{PIP_LINE}`') from error
