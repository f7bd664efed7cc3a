from .bootstrapped_loss import BootstrappedCrossEntropy
from .drop_seg import DropSeg
from .mask_decoder import DeconvPyramid, MaskDecoder
from .memory_vit import MemoryMAEViT
from .objects import aggregate_objects, intersection_and_union
from .video_segmentation import VideoSegmentation, check_mask

__all__ = [
    'BootstrappedCrossEntropy',
    'DeconvPyramid',
    'DropSeg',
    'MaskDecoder',
    'MemoryMAEViT',
    'VideoSegmentation',
    'aggregate_objects',
    'check_mask',
    'intersection_and_union',
]
