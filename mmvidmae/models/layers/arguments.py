"""Arguments of parts, checked when a part is built: one message names the part, the argument and what it takes."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

Size = int | tuple[int, int]


def require(condition: bool, part: object, name: str, value: Any, expected: str) -> None:
    """Refuse an argument.

    Args:
        condition: Whether it is right.
        part: The object that is being built.
        name: Name of the argument.
        value: What was given.
        expected: What the argument must be, in words.

    Raises:
        ValueError: If the condition does not hold.
    """
    if not condition:
        raise ValueError(f'{type(part).__name__}: {name} must be {expected}, got {value!r}')


def require_share(part: object, one: bool = False, **values: Any) -> None:
    """Each value must be a share in [0, 1), or with ``one`` in [0, 1]."""
    for name, value in values.items():
        right = isinstance(value, Real) and 0 <= value <= 1 and (one or value < 1)  # type: ignore[operator]
        require(right, part, name, value, f'a share in [0, 1{"]" if one else ")"}')


def require_whole(part: object, least: int = 1, **values: Any) -> None:
    """Each value must be a whole number of at least ``least``."""
    for name, value in values.items():
        right = isinstance(value, Integral) and value >= least  # type: ignore[operator]
        require(right, part, name, value, f'a whole number of at least {least}')


def require_divisible(part: object, by: int, by_name: str, **values: Any) -> None:
    """Each value must be a positive whole number that ``by`` divides."""
    for name, value in values.items():
        right = isinstance(value, Integral) and value > 0 and value % by == 0  # type: ignore[operator]
        require(right, part, name, value, f'a positive multiple of {by_name}={by}')


def require_size(part: object, patch_size: int, **values: Any) -> None:
    """Each value must be the pixels of a square's side, or (height, width), which divide into patches."""
    for name, value in values.items():
        sides = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value, value)
        right = len(sides) == 2 and all(
            isinstance(n, Integral) and n > 0 and n % patch_size == 0  # type: ignore[operator]
            for n in sides
        )
        if not right:
            raise ValueError(
                f'{type(part).__name__}: {name} must be one number of pixels or (height, width), positive multiples of '
                f'patch_size={patch_size}, got {value!r}, which do not divide into patches of {patch_size} pixels'
            )
