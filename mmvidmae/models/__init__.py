from mmvidmae import registry  # noqa: F401 (first of all: it applies the compat bridges)

from .backbones import *  # noqa: F403
from .heads import *  # noqa: F403
from .losses import *  # noqa: F403
from .masking import *  # noqa: F403
from .necks import *  # noqa: F403
from .propagation import *  # noqa: F403
from .segmentors import *  # noqa: F403
from .selfsup import *  # noqa: F403
from .trackers import *  # noqa: F403
