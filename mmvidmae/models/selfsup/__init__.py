from .catmae import CatMAE
from .cropmae import CropMAE
from .pair_mae import DropMAE, PairMAE, PairMAEOutput, SiamMAE, TwinMAE
from .rsp import RSP
from .tobo import ToBo

__all__ = ['RSP', 'CatMAE', 'CropMAE', 'DropMAE', 'PairMAE', 'PairMAEOutput', 'SiamMAE', 'ToBo', 'TwinMAE']
