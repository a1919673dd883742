"""What the families of detectors have in common: names of classes, and what a codec file says of them."""

from __future__ import annotations

from collections.abc import Collection

from featcodec.errors import InputError
from featcodec.networks.coco import COCO
from featcodec.networks.identity import NetworkConfig

__all__ = ["check_detector", "check_member", "class_names"]

MOST_CLASSES = 1 << 12  # of a codec file


def class_names(count: int, given: tuple[str, ...] | None) -> tuple[str, ...]:
    """The names of a network's classes: those given, else COCO's 80, else numbers.

    Raises:
        InputError: another number of names than the network has classes.

    Example:
        >>> class_names(2, None)
        ('class 0', 'class 1')
    """
    if given is None:
        return COCO if count == len(COCO) else tuple(f"class {i}" for i in range(count))
    if len(given) != count:
        raise InputError(f"classes: got {len(given)} names, expected {count}")
    return tuple(given)


def check_member(family: str, scale: str, scales: Collection[str], classes: int) -> None:
    """Scale and number of classes of a network that is to be made; raises InputError.

    Example:
        >>> check_member("YOLOX", "nano", ("nano", "tiny"), 6)
    """
    if scale not in scales:
        raise InputError(f"{family} scale: got {scale!r}, expected one of {', '.join(scales)}")
    if classes < 1:
        raise InputError(f"{family} classes: got {classes}, expected at least 1")


def check_detector(config: NetworkConfig, scales: Collection[str]) -> None:
    """Ranges of what a codec file says of a detector, but for its cut.

    Args:
        config: as the file has it.
        scales: members of the family.

    Raises:
        ValueError: says what is wrong.
    """
    if not 1 <= len(config.classes) <= MOST_CLASSES:
        got = f"{len(config.classes):,} classes"
        raise ValueError(f"classes: got {got}, expected at least one class and at most {MOST_CLASSES:,}")
    if config.scale not in scales:
        raise ValueError(f"network: got {config.family} {config.scale!r:.40}, expected a known one")
    if type(config.confidence) is not float or not 0 < config.confidence < 1:
        raise ValueError(f"confidence: got {config.confidence!r:.40}, expected a number between 0 and 1")
