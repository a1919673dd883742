"""What a thief collects: photographs of its own, and what they become on their way to the tail.

It has the codec and as many photographs of the same kind as it likes. They are sent once; what came of them
is kept in a work folder, in shards that are written whole or not at all, so that an interrupted collection
goes on and a finished one is read again at once. Shards are mapped into memory, not read: however large a
collection is, what lies in memory is what the current batch needs, and whatever the system has to spare.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from featcodec.attacks.targets import Target, as_observation, mirrored, shoot, window
from featcodec.console import Progress
from featcodec.errors import InputError
from featcodec.evaluation.kept import key, picture_key, unlike_ours
from featcodec.evaluation.plain_json import from_plain, to_plain
from featcodec.evaluation.provenance import origin
from featcodec.evaluation.results import Origin
from featcodec.files import make_folder, remove_stale, write_atomic
from featcodec.pictures.geometry import Geometry
from featcodec.pictures.pixels import eight_bits

__all__ = ["OBSERVATIONS_VERSION", "Observations", "Seen", "collect", "ours"]

# raise it when a photograph gives another canvas or another observation, or a shard has other columns;
# encoders have their own versions in the identities of targets
OBSERVATIONS_VERSION = 1

SHARD = 32  # photographs
LARGEST_HALF = 65504.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture that crossed a target, and what is left of it there.

    Attributes:
        path: the photograph.
        point: quality or quantization parameter.
        bytes: size of its file.
        geometry: where the photograph lies on the canvas.
        tensor: as `Target.observe` gave it, in half precision or 8 bits.
        picture: (3, H, W) uint8, the canvas.
    """

    path: Path
    point: float
    bytes: int
    geometry: Geometry
    tensor: Tensor
    picture: Tensor


@dataclass(frozen=True, slots=True)
class _View:
    """A photograph, by number, as it is sent: at which point, and whether in a mirror."""

    photograph: int
    point: float
    mirror: bool


@dataclass(frozen=True, slots=True)
class _ViewFacts:
    """What a shard says of one observation beside its tensor: bytes of its file, and its geometry."""

    bytes: int
    width: int
    height: int
    size: int
    stride: int


class Observations:
    """Observations of photographs by one target; made by `collect`.

    Attributes:
        identity: key of the collection: it changes whenever that does.
        points: of the target.
    """

    def __init__(
        self, identity: str, points: tuple[float, ...], paths: Sequence[Path], views: Sequence[_View],
        folders: tuple[Path, Path],
    ):  # fmt: skip
        self.identity, self.points = identity, points
        self._paths, self._views, self._folders = paths, views, folders
        self._open: dict[Path, Any] = {}
        self._known: dict[_View, tuple[int, Geometry]] = {}
        self._like: tuple[int, int] | None = (
            None  # channels and stride of the first observation that was read
        )

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, i: int) -> Seen:
        view = self._views[i]
        size, geometry = self._facts(view)
        tensor = self.tensor(i)
        path, picture = self._paths[view.photograph], self._picture(view, geometry)
        return Seen(path, view.point, size, geometry, tensor, picture)

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Channels and stride of what network attackers take."""
        first = self[0]
        observation = as_observation(first.tensor)
        return observation.shape[0], first.picture.shape[1] // observation.shape[1]

    @property
    def picture(self) -> bool:
        """Whether what is observed is a decoded picture."""
        return self[0].tensor.dtype == torch.uint8

    @property
    def origins(self) -> tuple[Origin, ...]:
        """What each shard was made by."""
        one_each = {view.photograph // SHARD: view for view in self._views}
        found = []
        for view in one_each.values():
            with self._seen(view) as seen:
                found.append(from_plain(Origin, json.loads(seen.metadata()["origin"])))
        return tuple(found)

    def geometry(self, i: int) -> Geometry:
        """Where photograph `i` lies on its canvas, without reading any tensor."""
        return self._facts(self._views[i])[1]

    def point(self, i: int) -> float:
        """The point of observation `i`."""
        return self._views[i].point

    def bytes(self, i: int) -> int:
        """Size of the file that observation `i` was decoded from."""
        return self._facts(self._views[i])[0]

    def mirror(self, i: int) -> bool:
        """Whether observation `i` is of a photograph in a mirror."""
        return self._views[i].mirror

    def tensor(self, i: int) -> Tensor:
        """Observation `i` as `Target.observe` gave it, without reading the picture."""
        view = self._views[i]
        self._facts(view)
        with self._seen(view) as seen:
            tensor: Tensor = seen.get_tensor(_column(view))
        return tensor

    def photograph(self, i: int) -> int:
        """Number of the photograph that observation `i` is of."""
        return self._views[i].photograph

    def crop(self, i: int, top: int, left: int, size: int) -> tuple[Tensor, Tensor]:
        """A square of one observation, float (C, size/s, size/s), and of its picture, uint8 (3, size, size).

        Args:
            i: number of the observation.
            top, left, size: pixels of the canvas, multiples of the stride.
        """
        view = self._views[i]
        picture = self._picture(view, self.geometry(i))
        with self._seen(view) as seen:
            part = seen.get_slice(_column(view))
            step = picture.shape[1] // part.get_shape()[1]
            tensor = part[:, top // step : (top + size) // step, left // step : (left + size) // step]
        return as_observation(tensor), picture[:, top : top + size, left : left + size]

    def _facts(self, view: _View) -> tuple[int, Geometry]:
        """Size of the file, and geometry, which the tensors fit."""
        if view not in self._known:
            with self._seen(view) as seen:
                facts = from_plain(_ViewFacts, json.loads(seen.metadata()[_column(view)]))
                geometry = Geometry(facts.width, facts.height, facts.size, facts.stride)
                self._check(tuple(seen.get_slice(_column(view)).get_shape()), geometry)
            self._known[view] = facts.bytes, geometry
        return self._known[view]

    def _check(self, shape: tuple[int, ...], geometry: Geometry) -> None:
        """Refuses a tensor that no network which takes the first one would take."""
        canvas = geometry.canvas_height, geometry.canvas_width
        channels, stride = shape[0], canvas[0] // max(shape[1], 1)
        self._like = self._like or (channels, stride)
        expected = (self._like[0], *(side // self._like[1] for side in canvas))
        if shape != expected:
            raise InputError(f"got an observation {shape}, expected {expected}")

    def _picture(self, view: _View, geometry: Geometry) -> Tensor:
        """The canvas (3, H, W) uint8, in a mirror if it is seen in one."""
        path = self._folders[1] / _shard_name(view.photograph // SHARD)
        with ours(path):
            picture: Tensor = self._file(path).get_tensor(str(view.photograph))
            expected = (3, geometry.canvas_height, geometry.canvas_width)
            if picture.shape != expected or picture.dtype != torch.uint8:
                raise InputError(f"got a picture {tuple(picture.shape)}, expected {expected}")
        return _mirror(picture, geometry) if view.mirror else picture

    @contextmanager
    def _seen(self, view: _View) -> Iterator[Any]:
        """The shard that an observation is in."""
        path = self._folders[0] / _shard_name(view.photograph // SHARD)
        with ours(path):
            yield self._file(path)

    def _file(self, path: Path) -> Any:
        if path not in self._open:
            self._open[path] = safe_open(path, "pt").__enter__()  # type: ignore[no-untyped-call]
        return self._open[path]


@contextmanager
def ours(path: Path) -> Iterator[None]:
    """Names the kept file that cannot be read as this version writes it."""
    try:
        yield
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise unlike_ours(path, error) from error


def collect(target: Target, paths: Sequence[Path], *, work: Path, training: bool) -> Observations:
    """Sends photographs through a target, or reads what an earlier call has kept of that.

    Args:
        target: what they cross.
        paths: the photographs.
        work: folder that the collections of all targets are kept in.
        training: each photograph `target.views` times, at points that change from one to the next, every
            second time in a mirror; otherwise at every point, as it is.

    Raises:
        ImageError: a photograph that is none.
        CoderError: a coder of the bench failed.
        InputError: the folder cannot be written, or a photograph not be read.
    """
    network = target.network
    views = _training_views(target, len(paths)) if training else _all_views(target, len(paths))
    # by content: an attack takes hours, and must not be lost when a folder of photographs is copied
    photographs = tuple(picture_key(p) for p in paths)
    versions = {"observations": OBSERVATIONS_VERSION}
    canvases = key(versions, size=network.canvas.size, stride=network.canvas.stride, photographs=photographs)
    identity = key(
        versions,
        target=target.identity,
        points=target.points,
        views=target.views if training else "every point",
        canvases=canvases,
    )
    folders = (work / f"{target.name}-{identity}", work / f"pictures-{canvases}")
    for folder in folders:
        make_folder(str(folder), parents=True)
        remove_stale(folder)
    shards = -(-len(paths) // SHARD)
    with Progress(shards) as progress:
        for number in range(shards):
            progress.show(number, f"x {SHARD} photographs sent through {target.name}")
            here = range(number * SHARD, min((number + 1) * SHARD, len(paths)))
            targets = [folder / _shard_name(number) for folder in folders]
            if not all(path.exists() for path in targets):
                _write(
                    target, {i: paths[i] for i in here}, [v for v in views if v.photograph in here], targets
                )
    return Observations(identity, target.points, paths, views, folders)


def _training_views(target: Target, photographs: int) -> list[_View]:
    points, views = target.points, target.views
    return [
        _View(i, points[(i * views + k) % len(points)], (i + k) % 2 == 1)
        for i in range(photographs)
        for k in range(views)
    ]


def _all_views(target: Target, photographs: int) -> list[_View]:
    return [_View(i, point, False) for i in range(photographs) for point in target.points]


def _write(target: Target, paths: dict[int, Path], views: list[_View], files: list[Path]) -> None:
    """Makes the shards of some photographs: what was seen of them, and their canvases."""
    shots = {i: shoot(target.network, path) for i, path in paths.items()}
    tensors, facts = {}, {}
    for view in views:
        shot = shots[view.photograph]
        tensor, size = target.observe(mirrored(target.network, shot) if view.mirror else shot, view.point)
        tensors[_column(view)] = _small(tensor)
        g = shot.geometry
        facts[_column(view)] = json.dumps(to_plain(_ViewFacts(size, g.width, g.height, g.size, g.stride), {}))
    by = {"origin": json.dumps(to_plain(origin(), {}))}
    write_atomic(files[0], save(tensors, facts | by))
    write_atomic(files[1], save({str(i): eight_bits(shot.x[0]) for i, shot in shots.items()}, by))


def _small(tensor: Tensor) -> Tensor:
    if tensor.dtype == torch.uint8:
        return tensor.contiguous()
    return tensor.clamp(-LARGEST_HALF, LARGEST_HALF).half().contiguous()


def _mirror(picture: Tensor, geometry: Geometry) -> Tensor:
    here = window(geometry)
    flipped = picture.clone()
    flipped[here] = picture[here].flip(-1)
    return flipped


def _column(view: _View) -> str:
    return f"photograph {view.photograph} point {float(view.point)!r} mirror {view.mirror:d}"


def _shard_name(number: int) -> str:
    return f"{number:05}.safetensors"
