"""Label propagation protocols, each a named set of options."""

from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, Literal


@dataclass(frozen=True)
class PropagationProtocol:
    """Options that must be equal for label propagation scores to be comparable, besides the data and the input size.

    Attributes:
        topk: Number of cells of the whole context that vote for a cell.
        queue: Number of recent frames in the context, besides the reference frames.
        radius: Size of the window of voting cells around a cell, in cells; None for no limit.
        window: ``'square'``: both offsets at most ``radius``. ``'disk'``: Euclidean distance below ``radius``.
        window_given: Whether the window also applies to reference frames.
        pad_queue: Whether to fill the queue initially with copies of the first reference frame. Each copy counts
            separately among the ``topk``, so early frames are matched almost only to their nearest neighbor.
        temperature: Temperature T of the softmax over the ``topk`` cosine similarities.
        mask_resize: Resizing of masks. ``'pillow-nearest'``: Pillow's nearest neighbor resizes reference masks to the
            grid, and predictions to their final size. ``'opencv-bilinear'``: OpenCV's nearest neighbor resizes
            reference masks to the input size. Each object's channel is then resized bilinearly to the grid without
            antialiasing, so that the reference labels are soft. OpenCV's nearest neighbor resizes predictions to their
            final size. Both options first enlarge the soft prediction bilinearly to the input size.
        output_norm: Rescaling of a prediction to 0..1 before the arg-max. ``'channel'``: each channel over the pixels.
            ``'pixel'``: each cell over the channels. This also changes the reference labels of frame 0 and their
            propagation. None: no rescaling.
        keep_given: Whether the prediction of a reference frame is the reference mask itself. Otherwise it is decoded
            from the grid.
        pose_topk: Number of the strongest cells of a joint's map that determine its position.

    Source: DINO's ``eval_video_segmentation.py`` and CRW's ``test.py`` with CropMAE's fork of it.
    """

    topk: int
    queue: int
    radius: float | None
    window: Literal['square', 'disk']
    window_given: bool
    pad_queue: bool
    temperature: float
    mask_resize: Literal['pillow-nearest', 'opencv-bilinear']
    output_norm: Literal['channel', 'pixel'] | None
    keep_given: bool
    pose_topk: int

    def __post_init__(self) -> None:
        choices = dict(
            window=('square', 'disk'),
            mask_resize=('pillow-nearest', 'opencv-bilinear'),
            output_norm=('channel', 'pixel', None),
        )
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f'protocol: {name} must be one of {allowed}, got {getattr(self, name)!r}')
        for name, least in dict(topk=1, queue=0, pose_topk=1).items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f'protocol: {name} must be a whole number of at least {least}, got {value!r}')
        if not self.temperature > 0:
            raise ValueError(f'protocol: temperature must be above 0, got {self.temperature!r}')
        least = 0 if self.window == 'square' else 1  # a disk of radius 0 has not even its center
        if self.radius is not None and not self.radius >= least:
            raise ValueError(f'protocol: radius of a {self.window} must be at least {least} or None, got {self.radius}')

    def as_dict(self) -> dict[str, Any]:
        """All options as plain values."""
        return asdict(self)


_CRW = PropagationProtocol(
    topk=10,
    queue=20,
    radius=12,
    window='disk',
    window_given=False,
    pad_queue=True,
    temperature=0.07,
    mask_resize='opencv-bilinear',
    output_norm=None,
    keep_given=False,
    pose_topk=3,
)

PROTOCOLS: dict[str, PropagationProtocol] = {
    # facebookresearch/dino, eval_video_segmentation.py
    'dino': PropagationProtocol(
        topk=5,
        queue=7,
        radius=12,
        window='square',
        window_given=True,
        pad_queue=False,
        temperature=0.1,
        mask_resize='pillow-nearest',
        output_norm='channel',
        keep_given=True,
        pose_topk=5,  # as in UVC and CropMAE; DINO was not evaluated on poses
    ),
    # ajabri/videowalk, code/test.py and its defaults
    'crw': _CRW,
    # alexandre-eymael/CropMAE, downstreams/propagation: CRW's code with other numbers (VIP: topk=10)
    'cropmae': replace(_CRW, topk=7, radius=20, temperature=0.7, pose_topk=5),
    # google-deepmind/representations4d, colabs/rvm_evaluation_demo.ipynb: CropMAE's (VIP: topk=10). Pixels in 0..1.
    'rvm': replace(_CRW, topk=7, radius=20, temperature=0.7, pose_topk=5),
    # SiamMAE, table 4b (VIP: topk=10, radius=8). The paper names neither code base nor temperature: CRW's are used.
    'siammae_paper': replace(_CRW, topk=7, radius=20, pose_topk=5),
}
"""Published protocols by name."""


def make_protocol(preset: str, **changes: Any) -> PropagationProtocol:
    """Build a named protocol, optionally with changes.

    Args:
        preset: A name in :data:`PROTOCOLS`.
        **changes: Options of :class:`PropagationProtocol` to change.

    Raises:
        ValueError: If the preset or an option is unknown, or a value is out of range.
    """
    if preset not in PROTOCOLS:
        raise ValueError(f'protocol: preset must be one of {", ".join(PROTOCOLS)}, got {preset!r}')
    names = [field.name for field in fields(PropagationProtocol)]
    for name in changes:
        if name not in names:
            close = get_close_matches(name, names, n=1)
            hint = f'did you mean {close[0]}?' if close else f'they are {", ".join(names)}'
            raise ValueError(f'protocol: there is no option {name}; {hint}')
    return replace(PROTOCOLS[preset], **changes)
