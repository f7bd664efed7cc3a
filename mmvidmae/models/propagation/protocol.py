"""The protocols of label propagation, as one set of options with a name."""

from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, Literal


@dataclass(frozen=True)
class PropagationProtocol:
    """Everything that makes a score of label propagation comparable with another, but the data and their input size.

    Attributes:
        topk: How many cells of the whole context vote for a cell.
        queue: How many of the last frames are in the context, beside the frames whose labels are given.
        radius: How far, in cells, a voter may be from the cell it votes for; None for no limit.
        window: ``'square'``: both offsets at most ``radius``. ``'disk'``: Euclidean distance below ``radius``.
        window_given: Whether the limit holds for the frames whose labels are given, too.
        pad_queue: Whether the queue starts full of copies of the first given frame. They count one by one among the
            ``topk``, so that early frames are nearly matched by their nearest neighbor alone.
        temperature: T of the softmax over the ``topk`` cosine similarities.
        mask_resize: ``'pillow-nearest'``: reference masks go to the grid, and predictions to their final size, by
            Pillow's nearest neighbor. ``'opencv-bilinear'``: reference masks go to the input size by OpenCV's nearest
            neighbor and, one channel an object, to the grid bilinearly without antialiasing, so that labels are soft
            from the start; predictions go to their final size by OpenCV's nearest neighbor. In between, both enlarge
            the soft prediction bilinearly to the input size.
        output_norm: How a prediction is rescaled to 0..1 before the strongest channel is taken: ``'channel'``, each
            channel over the pixels; ``'pixel'``, each cell over the channels (and so the given labels of frame 0, also
            where they are propagated); None, not at all.
        keep_given: Whether masks that are given are also predicted as they are. Otherwise what the grid has kept of
            them is.
        pose_topk: How many of the strongest cells of a joint's map give its position.

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
        """All options, as plain values."""
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
        pose_topk=5,  # DINO was not evaluated on poses; as in UVC and CropMAE
    ),
    # ajabri/videowalk, code/test.py and its defaults
    'crw': _CRW,
    # alexandre-eymael/CropMAE, downstreams/propagation: CRW's code with other numbers (VIP: topk=10)
    'cropmae': replace(_CRW, topk=7, radius=20, temperature=0.7, pose_topk=5),
    # SiamMAE, table 4b (VIP: topk=10, radius=8). The paper names neither code base nor temperature: CRW's.
    'siammae_paper': replace(_CRW, topk=7, radius=20, pose_topk=5),
}
"""The published protocols by name."""


def make_protocol(preset: str, **changes: Any) -> PropagationProtocol:
    """A named protocol with changes.

    Args:
        preset: A name in :data:`PROTOCOLS`.
        **changes: Options of :class:`PropagationProtocol` to set.

    Raises:
        ValueError: If there is no such preset or option, or a value is out of range.
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
