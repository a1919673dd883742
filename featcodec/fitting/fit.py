"""`fit`: from anybody's network and a folder of photographs to a codec."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from featcodec import zoo
from featcodec.codec.codec_file import CodecFile, ModuleConfig, network_digest
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.codec.transforms import Widths
from featcodec.errors import FitError, InputError, MissingExtraError
from featcodec.files import make_folder, write_atomic
from featcodec.fitting.data import Batch, Images, batches, data_set
from featcodec.fitting.losses import QUALITY_WEIGHTS
from featcodec.fitting.processes import Processes, start_processes
from featcodec.fitting.settings import Normalise, Settings, channels_of
from featcodec.networks.coco import COCO
from featcodec.networks.picture_cut import PictureCut, cut_pictures
from featcodec.networks.yolov5 import YOLOv5
from featcodec.networks.yolov5_split import Split, split

__all__ = ["fit"]

ENOUGH = 16  # pictures from which the prior is taken where weights are those of an earlier codec
MEASURED = 192  # pictures, at most, from which the closed form is taken
LARGEST_SAMPLE = 1 << 26  # values of their features
PROBED = 3  # pictures on which the tail is examined


def fit(
    network: nn.Module,
    *,
    at: str | int,
    images: Images,
    coco: str | os.PathLike[str] | None = None,
    task: Any = "outputs",
    normalise: Normalise = None,
    privacy: float = 0.0,
    steps: int = 2000,
    minutes: float | None = None,
    size: int = 256,
    batch: int = 8,
    quality_weights: tuple[float, float] = QUALITY_WEIGHTS,
    seed: int = 1,
    name: str = "mine",
    description: str = "",
    model: str | None = None,
    out: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    devices: int = 1,
    **more: Any,
) -> FeatureCodec:
    """Fits a codec to a network, whose weights stay as they are; see docs/fitting.md for what is minimised.

    Args:
        network: takes pictures (B, 3, H, W) of any size that is a multiple of 32 (64 for a cut at stride 32).
        at: the layer that it is cut after, as `featcodec.split` takes it; one tensor (B, C, h, w) has to
            cross, at stride 2, 4, 8, 16 or 32.
        images: folder of photographs, their paths, or a data set of pictures (3, H, W), or of those with
            labels.
        coco: COCO json; of the folder only the pictures that it names are taken.
        task: what decoded features must not spoil: ``"outputs"`` of the network, by distillation, so that no
            labels are needed; ``"features"`` alone; or a function of what the network returns and of what it
            returns from uncoded features (of the labels, if there are any) to a loss (B,).
        normalise: of pictures in [0, 1]: ``"imagenet"``, or mean and deviation of the three channels.
        privacy: weight of the adversary's failure to rebuild the picture; 0 fits without adversary.
        steps: how long.
        minutes: instead of steps: as many as are done in about so many minutes here.
        size: longest side in pixels that pictures are scaled down to, in fitting and in use.
        batch: pictures a step (of each process).
        quality_weights: weight of the task at quality 1 and at quality 8, against bits per pixel.
        seed: of everything that is random.
        name: of the codec: 1 to 63 characters of a-z, 0-9, ``.``, ``_``, ``-``; goes into every ``.plf``.
        description: one line for people.
        model: what the codec file calls the network; the name of its class unless given.
        out: folder for checkpoint, log, plot and ``codec.safetensors``; the same call goes on from there
            after an interruption, to the same codec bit for bit on a CPU. Without it nothing is written.
        device: that the fit runs on, such as ``"cuda"``.
        devices: processes, each with a device of its own; see docs/fitting.md.
        more: the other settings that `featcodec.fitting.settings.Settings` lists.

    Returns:
        The codec, with the network; on the CPU.

    Raises:
        FitError: it cannot start, or has to stop; says why.
        SplitError: the network cannot be cut there.
        InputError: pictures or settings that cannot be used.
        MissingExtraError: the extra featcodec[fit] is not installed.

    Example:
        >>> import featcodec
        >>> from skimage import data_dir
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, 4, 3, 2, 1)).eval()
        >>> images = [f"{data_dir}/astronaut.png", f"{data_dir}/coffee.png"]
        >>> codec = featcodec.fit(network, at="1", images=images, steps=2, size=64, batch=2, latents=8)
        >>> features = codec.decode(codec.encode(images[0]))
        >>> tuple(features.shape), tuple(codec.tail(features).shape)
        ((1, 8, 16, 16), (1, 4, 8, 8))
    """
    settings = _settings(
        at=at, normalise=normalise, privacy=privacy, steps=steps, size=size, batch=batch, seed=seed,
        quality_weights=tuple(quality_weights), name=name, description=description,
        model=model or type(network).__name__, **more,
    )  # fmt: skip
    _check_extra()
    folder = Path(out) if out is not None else None
    processes, where = start_processes(devices, device)
    cut = _cut(network, settings, where)
    starts = [zoo.decoder(codec).file for codec in settings.starts]
    subject = _Subject(network, cut, settings, processes, task, _told(images, coco, task), starts)
    samples = data_set(
        images, side=subject.side, seed=seed, size=settings.size, hold_out=settings.hold_out, coco=coco
    )
    if folder and processes.rank == 0:
        make_folder(str(folder), parents=True)
    file = _fit(subject, samples, folder, minutes, where)
    return zoo.remember(file, copy.deepcopy(network).cpu())


@dataclass(frozen=True, slots=True)
class _Subject:
    """What a codec is fitted to, and how."""

    network: nn.Module
    cut: Split | PictureCut
    settings: Settings
    processes: Processes
    task: Any
    told: str  # what else the run depends on, in words
    starts: Sequence[CodecFile]

    @property
    def latent_stride(self) -> int:
        return 2 * self.cut.features()[1]

    @property
    def stride(self) -> int:
        return max(32, self.latent_stride)

    @property
    def side(self) -> int:
        return -(-(self.settings.crop or self.settings.size) // self.stride) * self.stride

    @property
    def identity(self) -> str:
        s = self.settings
        sizes = (s.size, s.crop, s.hold_out, s.batch, s.latents, s.analysis, s.synthesis)
        what = (network_digest(self.network), s.at, channels_of(s.normalise), *sizes)
        starts = "".join(f" from {file.fingerprint.hex()} {file.encoder_digest}" for file in self.starts)
        return f"{json.dumps(what)} {self.processes.world} {self.told}{starts}"

    def widths(self, features: int) -> Widths:
        """Of the codec, for features of so many channels; of those to start from, if there are any."""
        s = self.settings
        if not self.starts:
            return Widths(features, s.latents, analysis=s.analysis, synthesis=s.synthesis)
        first = self.starts[0].config
        for config in (file.config for file in self.starts):
            got, stride = config.widths, config.latent_stride
            if (got.features, stride) != (features, self.latent_stride):
                raise InputError(
                    f"start: got codec {config.name!r} of {got.features} channels at stride "
                    f"{stride // 2}, expected {features} at {self.latent_stride // 2}"
                )
            if got != first.widths:
                raise InputError(
                    f"start: got codec {config.name!r} of {got}, expected {first.widths}, as {first.name!r}"
                )
        return first.widths


def _settings(**values: Any) -> Settings:
    known = {field.name for field in fields(Settings)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(f"fit: got {', '.join(unknown)}, expected some of {', '.join(sorted(known))}")
    return Settings(**values)


def _check_extra() -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of newer releases of torch about what compressai compiles
            import compressai  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("compressai is missing: pip install 'featcodec[fit]'") from error


def _cut(network: nn.Module, settings: Settings, where: torch.device) -> Split | PictureCut:
    own = copy.deepcopy(network).eval().requires_grad_(False).to(where)
    if isinstance(own, YOLOv5):
        _class_names(own.classes, settings.classes)  # complains before the fit rather than after it
        number = str(settings.at).removeprefix("model.")
        if not number.isdecimal():
            raise InputError(f"at: got {settings.at!r}, expected the number of a layer of a YOLOv5")
        cut = split(own.fuse().to(memory_format=torch.channels_last), at=int(number))
        _ = cut.only
        return cut
    mean, deviation = channels_of(settings.normalise)
    side = -(-settings.size // 32) * 32
    own = own.to(memory_format=torch.channels_last)
    return cut_pictures(own, at=settings.at, mean=mean, deviation=deviation, side=side)


def _told(images: Images, coco: object, task: object) -> str:
    """Pictures and task, as far as they can be told apart."""
    if isinstance(images, str | os.PathLike):
        named = os.fspath(images)
    elif isinstance(images, Sequence):
        named = hashlib.sha256("\n".join(map(str, images)).encode()).hexdigest()[:16]
    else:
        named = type(images).__name__
    return f"{named} {coco or ''} {task if isinstance(task, str) else getattr(task, '__qualname__', 'task')}"


def _fit(
    subject: _Subject, samples: Any, folder: Path | None, minutes: float | None, where: torch.device
) -> CodecFile:
    from featcodec.fitting.log import Journal
    from featcodec.fitting.loop import Fitting, fit_codec
    from featcodec.fitting.run import Run
    from featcodec.fitting.start import (
        check_start,
        find_statistics,
        metric_task,
        set_closed_form,
        set_weights,
    )
    from featcodec.fitting.tasks import Features, Task, find_task
    from featcodec.training.hyperprior import CodecModel

    s, processes = subject.settings, subject.processes
    checkpoint = folder / "checkpoint.pt" if folder else None
    sample = batches(samples, s.batch)
    first = list(islice(sample(0), -(-ENOUGH // s.batch)))
    f = _features(subject, first, where)
    task = find_task(
        subject.cut, subject.task, f[:PROBED], feature_weight=s.feature_weight, output_weight=s.output_weight
    )
    warm_up: Task = Features()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(s.seed)
        model = CodecModel(subject.widths(int(f.shape[1]))).to(where)
        if subject.starts:
            set_weights(model, subject.starts, f)
        else:
            count = min(MEASURED, LARGEST_SAMPLE // f[0].numel())
            more = list(islice(sample(len(first)), max(0, -(-(count - len(f)) // s.batch))))
            f = torch.cat((f, _features(subject, more, where))) if more else f
            found = find_statistics(
                task,
                f,
                pixels=subject.side**2,
                feature_weight=s.feature_weight,
                seed=s.seed,
                kept=folder / "closed-form.pt" if folder else None,
                identity=subject.identity,
            )
            warm_up = metric_task(found, subject.latent_stride // 2)
            if not (checkpoint and checkpoint.exists()):
                set_closed_form(model, found, f, s.quality_weights)
    source = batches(samples, s.batch, workers=s.workers, rank=processes.rank, world=processes.world)
    fitting = Fitting(subject.cut, task, source, processes, warm_up)
    check_start(model, task, f[: s.batch], first[0][1])
    run = Run(model, s.options, latent_stride=subject.latent_stride, identity=subject.identity)
    if minutes is not None:
        planned = replace(s.options, steps=_steps_within(minutes, fitting, run, folder))
        run = Run(model, planned, latent_stride=subject.latent_stride, identity=subject.identity)
    if checkpoint:
        run.resume(checkpoint)

    def export(run: Run) -> CodecFile:
        file = _exported(copy.deepcopy(run.average).cpu(), subject)
        if folder and processes.rank == 0:
            file.save(folder / "codec.safetensors")
        return file

    with Journal(folder if processes.rank == 0 else None, run) as journal:
        fit_codec(fitting, run, checkpoint=checkpoint, report=journal, saved=export)
    return export(run)


def _features(subject: _Subject, first: list[Batch], where: torch.device) -> Tensor:
    """Features of the first pictures; errors where those or these cannot be used."""
    found = []
    for images, _ in first:
        sides = images.shape[-2:]
        if images.ndim != 4 or images.shape[1] != 3 or any(side % subject.stride for side in sides):
            raise InputError(
                f"images: got a batch {tuple(images.shape)}, expected (B, 3, H, W) with sides that are "
                f"multiples of {subject.stride}"
            )
        x = images.to(where).float() / (255 if images.dtype == torch.uint8 else 1)
        with torch.no_grad():
            found.append(subject.cut.head(x)[0])
    f = torch.cat(found)
    if not bool(torch.isfinite(f).all()):
        raise FitError(
            f"the features after layer {subject.settings.at} are not finite: is it the normalisation?"
        )
    return f


def _steps_within(minutes: float, fitting: Any, run: Any, folder: Path | None) -> int:
    """How many steps fit into so many minutes; kept, as a fit that goes on has to go on with the same."""
    from featcodec.fitting.loop import seconds_a_step

    kept = folder / "steps.json" if folder else None
    known: dict[str, int] = json.loads(kept.read_text()) if kept and kept.exists() else {}
    key = f"{minutes:g}"
    if key not in known:
        pace = float(fitting.processes.mean(torch.tensor(seconds_a_step(fitting, run))))
        known[key] = max(1, int(60 * minutes / pace) - run.options.head_start)
        if kept and fitting.processes.rank == 0:
            write_atomic(kept, json.dumps(known).encode())
    return known[key]


def _exported(model: Any, subject: _Subject) -> CodecFile:
    from featcodec.fitting.export import export, export_module

    s = subject.settings
    about = s.description or f"{s.model} cut after layer {s.at}"
    sizes = {"size": s.size, "stride": subject.stride, "latent_stride": subject.latent_stride}
    if isinstance(subject.cut, Split):
        whole = subject.network
        assert isinstance(whole, YOLOv5)
        classes = _class_names(whole.classes, s.classes)
        plain = split(whole, at=subject.cut.at)
        return export(
            model, plain, name=s.name, description=about, classes=classes, embed_network=False, **sizes
        )
    mean, deviation = channels_of(s.normalise)
    network = ModuleConfig(
        "module", s.model, str(subject.cut.at), network_digest(subject.network), mean, deviation
    )
    return export_module(model, network, name=s.name, description=about, **sizes)


def _class_names(count: int, given: tuple[str, ...] | None) -> tuple[str, ...]:
    if given is None:
        return COCO if count == len(COCO) else tuple(f"class {i}" for i in range(count))
    if len(given) != count:
        raise InputError(f"classes: got {len(given)} names, expected {count}")
    return tuple(given)
