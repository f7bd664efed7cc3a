from .catmae import CatMAE
from .pair_mae import DropMAE, PairMAE, PairMAEOutput, SiamMAE, TwinMAE
from .rsp import RSP

__all__ = ['RSP', 'CatMAE', 'DropMAE', 'PairMAE', 'PairMAEOutput', 'SiamMAE', 'TwinMAE']
