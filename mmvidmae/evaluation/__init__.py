from .metrics import *  # noqa: F403
from .metrics import __all__
