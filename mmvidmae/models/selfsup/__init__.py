from .cropmae import CropMAE
from .pair_mae import DropMAE, PairMAE, PairMAEOutput, SiamMAE, TwinMAE
from .tobo import ToBo

__all__ = ['CropMAE', 'DropMAE', 'PairMAE', 'PairMAEOutput', 'SiamMAE', 'ToBo', 'TwinMAE']
