"""The version of mmvidmae."""

__version__ = '0.1.0'
