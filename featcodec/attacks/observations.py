"""What a thief collects: photographs of his own, and what they become on their way to the tail.

He has the codec and as many photographs of the same kind as he likes. They are sent once; what came of them
is kept in a work folder, in shards that are written whole or not at all, so that an interrupted collection
goes on and a finished one is read again at once. Shards are mapped into memory, not read: however large a
collection is, what lies in memory is what the current batch needs, and whatever the system has to spare.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from featcodec.attacks.targets import Target, as_observation, mirrored, shoot, window
from featcodec.console import Progress
from featcodec.evaluation.coders import Shot
from featcodec.evaluation.journal import picture_key
from featcodec.files import make_folder, remove_stale, write_atomic
from featcodec.pictures.geometry import Geometry

__all__ = ["Observations", "Seen", "collect"]

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


class Observations:
    """Observations of photographs by one target; made by `collect`.

    Attributes:
        identity: text that changes whenever the collection does.
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

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, i: int) -> Seen:
        view = self._views[i]
        seen, pictures = self._shards(view)
        size, geometry = self._facts(view)
        picture = pictures.get_tensor(str(view.photograph))
        return Seen(
            self._paths[view.photograph],
            view.point,
            size,
            geometry,
            seen.get_tensor(_key(view)),
            _mirror(picture, geometry) if view.mirror else picture,
        )

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

    def geometry(self, i: int) -> Geometry:
        """Where photograph `i` lies on its canvas, without reading any tensor."""
        return self._facts(self._views[i])[1]

    def point(self, i: int) -> float:
        """The point of observation `i`."""
        return self._views[i].point

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
        seen, pictures = self._shards(view)
        picture = pictures.get_tensor(str(view.photograph))
        part = seen.get_slice(_key(view))
        step = picture.shape[1] // part.get_shape()[1]
        tensor = part[:, top // step : (top + size) // step, left // step : (left + size) // step]
        if view.mirror:
            picture = _mirror(picture, self.geometry(i))
        return as_observation(tensor), picture[:, top : top + size, left : left + size]

    def _facts(self, view: _View) -> tuple[int, Geometry]:
        """Size of the file, and geometry."""
        if view not in self._known:
            facts = json.loads(self._shards(view)[0].metadata()[_key(view)])
            self._known[view] = facts["bytes"], Geometry(*facts["geometry"])
        return self._known[view]

    def _shards(self, view: _View) -> tuple[Any, Any]:
        found = []
        for folder in self._folders:
            path = folder / _shard_name(view.photograph // SHARD)
            if path not in self._open:
                self._open[path] = safe_open(path, "pt").__enter__()  # type: ignore[no-untyped-call]
            found.append(self._open[path])
        return found[0], found[1]


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
    photographs = "\n".join(picture_key(p) for p in paths)
    canvases = f"size {network.canvas.size} stride {network.canvas.stride}\n{photographs}"
    identity = f"{target.identity}\n{'training' if training else 'every point'} {target.views}\n{canvases}"
    folders = (work / f"{target.name}-{_digest(identity)}", work / f"pictures-{_digest(canvases)}")
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
        tensors[_key(view)] = _small(tensor)
        g = shot.geometry
        facts[_key(view)] = json.dumps({"bytes": size, "geometry": (g.width, g.height, g.size, g.stride)})
    write_atomic(files[0], save(tensors, facts))
    write_atomic(files[1], save({str(i): _pixels(shot) for i, shot in shots.items()}))


def _small(tensor: Tensor) -> Tensor:
    if tensor.dtype == torch.uint8:
        return tensor.contiguous()
    return tensor.clamp(-LARGEST_HALF, LARGEST_HALF).half().contiguous()


def _pixels(shot: Shot) -> Tensor:
    return (shot.x[0] * 255).round().to(torch.uint8)


def _mirror(picture: Tensor, geometry: Geometry) -> Tensor:
    here = window(geometry)
    flipped = picture.clone()
    flipped[here] = picture[here].flip(-1)
    return flipped


def _key(view: _View) -> str:
    return f"{view.photograph} {view.point:g} {view.mirror:d}"


def _shard_name(number: int) -> str:
    return f"{number:05}.safetensors"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
