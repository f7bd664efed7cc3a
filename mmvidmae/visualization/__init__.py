from .loss_curve import plot_losses, read_losses
from .reconstruction import draw_reconstructions

__all__ = ['draw_reconstructions', 'plot_losses', 'read_losses']
