from .features import draw_features, principal_components
from .labels import contact_sheet, draw_box, draw_heat, draw_masks, draw_pose, mark_point
from .loss_curve import Scalars, plot_losses, read_losses, read_scalars
from .reconstruction import draw_reconstructions
from .video_writer import write_video
from .visualizers import FeatureVisualizer, PropagationVisualizer, ReconstructionVisualizer, VideoVisualizer

__all__ = [
    'FeatureVisualizer',
    'PropagationVisualizer',
    'ReconstructionVisualizer',
    'Scalars',
    'VideoVisualizer',
    'contact_sheet',
    'draw_box',
    'draw_features',
    'draw_heat',
    'draw_masks',
    'draw_pose',
    'draw_reconstructions',
    'mark_point',
    'plot_losses',
    'principal_components',
    'read_losses',
    'read_scalars',
    'write_video',
]
