"""Importing this module enables the bridge: for ``custom_imports`` of a config that other tools run."""

from . import enable

enable()
