from .hooks import *  # noqa: F403
from .hooks import __all__
