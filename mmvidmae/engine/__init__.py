from .hooks import *  # noqa: F403
from .optimizers import *  # noqa: F403
from .schedulers import LinearLR  # noqa: F401
from .strategies import FSDPStrategy  # noqa: F401
