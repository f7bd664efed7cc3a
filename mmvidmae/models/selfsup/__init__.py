from .pair_mae import DropMAE, PairMAE, PairMAEOutput, SiamMAE, TwinMAE

__all__ = ['DropMAE', 'PairMAE', 'PairMAEOutput', 'SiamMAE', 'TwinMAE']
