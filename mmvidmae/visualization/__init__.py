from .labels import contact_sheet, draw_box, draw_heat, draw_masks, draw_pose, mark_point
from .loss_curve import plot_losses, read_losses
from .reconstruction import draw_reconstructions
from .video_writer import write_video

__all__ = [
    'contact_sheet',
    'draw_box',
    'draw_heat',
    'draw_masks',
    'draw_pose',
    'draw_reconstructions',
    'mark_point',
    'plot_losses',
    'read_losses',
    'write_video',
]
