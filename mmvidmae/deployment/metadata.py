"""What an exported file says about its model, so that a program that runs it needs no config."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORMAT = 1
"""Version of the metadata."""
VERSION_KEY = 'mmvidmae_format'
PROGRAM_ENTRY = 'metadata.json'
"""Name of the metadata among the extra files of a ``torch.export`` program."""


def to_strings(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Encode metadata as ONNX stores it: each value is JSON."""
    return {VERSION_KEY: json.dumps(FORMAT)} | {name: json.dumps(value) for name, value in metadata.items()}


def from_strings(strings: Mapping[str, str], path: str | Path) -> dict[str, Any]:
    """Decode metadata of a file.

    Args:
        strings: Values by name, as from :func:`to_strings`.
        path: The file, for messages.

    Raises:
        ValueError: If the metadata is not ours, is damaged, or is of a newer version.
    """
    if VERSION_KEY not in strings:
        raise ValueError(f'{path} has no metadata of mmvidmae: export the model with tools/deployment/export.py')
    own = {name: value for name, value in strings.items() if not name.startswith(('pkg.', 'onnx.'))}
    try:
        metadata = {name: json.loads(value) for name, value in own.items()}
    except ValueError as error:
        raise ValueError(f'{path} has damaged metadata ({error}): export the model again') from error
    version = metadata.pop(VERSION_KEY)
    if not isinstance(version, int) or version > FORMAT:
        raise ValueError(f'{path} has metadata of version {version}, this mmvidmae reads {FORMAT}: update mmvidmae')
    return metadata


def read_program_metadata(path: str | Path) -> dict[str, Any]:
    """Read the metadata of a ``.pt2`` file. Its model is not loaded.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no program of :func:`export_model`.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path} does not exist')
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(f'extra/{PROGRAM_ENTRY}')]
            strings = json.loads(archive.read(names[0])) if names else {}
    except (zipfile.BadZipFile, ValueError) as error:
        raise ValueError(f'{path} cannot be read as a program of torch.export: {error}') from error
    return from_strings(strings, path)
