from .co_settle import CoSettle, CoSettleOutput
from .pair_mae import DropMAE, PairMAE, PairMAEOutput, SiamMAE, TwinMAE
from .rvm import RVM

__all__ = ['RVM', 'CoSettle', 'CoSettleOutput', 'DropMAE', 'PairMAE', 'PairMAEOutput', 'SiamMAE', 'TwinMAE']
