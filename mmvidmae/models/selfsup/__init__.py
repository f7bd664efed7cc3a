from .catmae import CatMAE
from .cropmae import CropMAE
from .ema_teacher import EMATeacher
from .pair_mae import DropMAE, PairMAE, PairMAEOutput, SiamMAE, TwinMAE
from .rsp import RSP
from .t_core import TCoRe, TCoReOutput
from .tobo import ToBo

__all__ = [
    'RSP',
    'CatMAE',
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
