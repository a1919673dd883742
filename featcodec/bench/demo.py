"""The photographs inside scikit-image: for a first look, without any data at hand."""

from __future__ import annotations

from pathlib import Path

from featcodec.errors import MissingExtraError

__all__ = ["CALIBRATION", "EVALUATED", "photographs"]

EVALUATED = ("astronaut.png", "camera.png", "motorcycle_left.png", "rocket.jpg")
CALIBRATION = ("chelsea.png", "coffee.png")  # to measure value ranges on
NOTE = (
    "A demo on a few photographs without labels: it shows what the bench does, and its figures mean little. "
    "Give --data and --images, or --images alone."
)


def photographs(names: tuple[str, ...]) -> list[Path]:
    """Paths of scikit-image's photographs that ship with the package.

    Raises:
        MissingExtraError: scikit-image is not installed.
    """
    try:
        import skimage
    except ImportError as error:
        raise MissingExtraError.of("scikit-image", "bench") from error
    folder = Path(skimage.__file__).parent / "data"
    return [path for name in names if (path := folder / name).is_file()]
