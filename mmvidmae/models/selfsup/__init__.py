from .ema_teacher import EMATeacher
from .pair_mae import DropMAE, PairMAE, PairMAEOutput, SiamMAE, TwinMAE
from .t_core import TCoRe, TCoReOutput

__all__ = ['DropMAE', 'EMATeacher', 'PairMAE', 'PairMAEOutput', 'SiamMAE', 'TCoRe', 'TCoReOutput', 'TwinMAE']
