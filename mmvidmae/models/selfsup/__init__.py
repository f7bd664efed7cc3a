from .catmae import CatMAE
from .co_settle import CoSettle, CoSettleOutput
from .cropmae import CropMAE
from .ema_teacher import EMATeacher
from .pair_mae import DropMAE, PairMAE, PairMAEOutput, SiamMAE, TwinMAE
from .rsp import RSP
from .rvm import RVM
from .t_core import TCoRe, TCoReOutput
from .tobo import ToBo

__all__ = [
    'RSP',
    'RVM',
    'CatMAE',
    'CoSettle',
    'CoSettleOutput',
    'CropMAE',
    'DropMAE',
    'EMATeacher',
    'PairMAE',
    'PairMAEOutput',
    'SiamMAE',
    'TCoRe',
    'TCoReOutput',
    'ToBo',
    'TwinMAE',
]
