"""The version of mmvidmae."""

__version__ = '0.2.0'
