from .catmae import CatMAE
from .co_settle import CoSettle, CoSettleOutput
from .cropmae import CropMAE
from .pair_mae import DropMAE, PairMAE, PairMAEOutput, SiamMAE, TwinMAE
from .rsp import RSP
from .rvm import RVM
from .tobo import ToBo

__all__ = [
    'RSP',
    'RVM',
    'CatMAE',
    'CoSettle',
    'CoSettleOutput',
    'CropMAE',
    'DropMAE',
    'PairMAE',
    'PairMAEOutput',
    'SiamMAE',
    'ToBo',
    'TwinMAE',
]
