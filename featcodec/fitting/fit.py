"""`fit`: from anybody's network and a folder of photographs to a codec."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from featcodec import zoo
from featcodec.codec.codec_file import CodecFile
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.codec.transforms import Widths
from featcodec.errors import FitError, InputError
from featcodec.evaluation.kept import key
from featcodec.files import make_folder
from featcodec.fitting.data import Batch, Images, Source, batches, data_set
from featcodec.fitting.processes import Processes, start_processes
from featcodec.fitting.settings import Normalise, Settings, channels_of, shown
from featcodec.fitting.tasks import Loss, Task
from featcodec.networks.cut_network import CutNetwork
from featcodec.networks.families import NetworkWish, cut_network, default_cut, describe, family_of
from featcodec.networks.modules import plain_module
from featcodec.networks.torch_state import training
from featcodec.networks.tuned_tail import tail_parameters, with_tail
from featcodec.networks.vector_model import VectorModel
from featcodec.pictures.pixels import unit_floats

if TYPE_CHECKING:
    from featcodec.fitting.hidden_vectors import HiddenVectors
    from featcodec.fitting.loop import Figures
    from featcodec.training.hyperprior import CodecModel

__all__ = ["fit"]

ENOUGH = 16  # pictures from which the prior is taken where weights are those of an earlier codec
LATENTS = 128  # of a codec that starts from none
MEASURED = 192  # pictures, at most, from which the closed form is taken
LARGEST_SAMPLE = 1 << 26  # values of their features
PROBED = 3  # pictures on which the tail is examined


def fit(
    network: nn.Module,
    *,
    at: str | int | None = None,
    images: Images,
    coco: str | os.PathLike[str] | None = None,
    task: Literal["outputs", "features"] | Loss = "outputs",
    normalise: Normalise = Settings.normalise,
    privacy: float = Settings.privacy,
    steps: int = Settings.steps,
    minutes: float | None = None,
    size: int = Settings.size,
    batch: int = Settings.batch,
    quality_weights: tuple[float, float] = Settings.quality_weights,
    quality_bend: float = Settings.quality_bend,
    seed: int = Settings.seed,
    name: str = Settings.name,
    description: str = Settings.description,
    model: str | None = None,
    out: str | os.PathLike[str] | None = None,
    callback: Callable[[int, Figures], object] | None = None,
    device: str = "cpu",
    devices: int = 1,
    erase: int = Settings.erase,
    start: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = Settings.start,
    crop: int | None = Settings.crop,
    hold_out: int = Settings.hold_out,
    workers: int = Settings.workers,
    lr: float = Settings.lr,
    optimizer: Literal["muon", "adamw"] = Settings.optimizer,
    bf16: bool = Settings.bf16,
    warm_up: float = Settings.warm_up,
    balance: float = Settings.balance,
    average: float = Settings.average,
    feature_weight: float = Settings.feature_weight,
    output_weight: float = Settings.output_weight,
    tune_tail: bool = Settings.tune_tail,
    linear_privacy: float = Settings.linear_privacy,
    hide: str | os.PathLike[str] | None = Settings.hide,
    hide_images: str | os.PathLike[str] | None = Settings.hide_images,
    hide_weight: float = Settings.hide_weight,
    hide_crop: float = Settings.hide_crop,
    hide_hold_out: int = Settings.hide_hold_out,
    adversaries: int = Settings.adversaries,
    adversary_loss: Literal["edges", "squared"] = Settings.adversary_loss,
    beta: float = Settings.beta,
    adversary_lr: float = Settings.adversary_lr,
    adversary_head_start: int = Settings.adversary_head_start,
    adversary_steps: int = Settings.adversary_steps,
    adversary_restart: int = Settings.adversary_restart,
    latents: int | None = Settings.latents,
    analysis: int = Settings.analysis,
    synthesis: int = Settings.synthesis,
    classes: Sequence[str] | None = Settings.classes,
    confidence: float | None = Settings.confidence,
    embed_network: bool = Settings.embed_network,
) -> FeatureCodec:
    """Fits a codec to a network, whose weights stay as they are; see docs/fitting.md for what is minimised.

    Args:
        network: takes pictures (B, 3, H, W) of any size that is a multiple of 32 (64 for a cut at stride 32).
            The fit works with a copy in float32 and evaluation mode.
        at: the layer that it is cut after, as `featcodec.split` takes it, of a YOLOX a stage; one tensor
            (B, C, h, w) has to cross, at stride 2, 4, 8, 16 or 32. Unless given, a YOLOv5 is cut after 4 and
            a YOLOX after ``"dark3"``, both at stride 8.
        images: folder of photographs, their paths, or a data set of pictures (3, H, W) of one size, uint8 or
            floats in [0, 1], or of those with labels.
        coco: COCO json; of the folder only the pictures that it names are taken.
        task: what decoded features must not spoil: ``"outputs"`` of the network, by distillation, so that no
            labels are needed; ``"features"`` alone; or a function of what the network returns and of what it
            returns from uncoded features (of the labels, if there are any) to a loss (B,).
        normalise: of pictures in [0, 1]: ``"imagenet"``, or mean and deviation of the three channels.
        privacy: weight of the adversary's failure to rebuild the picture; 0 fits without adversary.
        steps: optimizer steps of the codec.
        minutes: instead of steps: as many as are done in about so many minutes here.
        size: longest side in pixels that pictures are scaled down to, in fitting and in use.
        batch: pictures a step (of each process).
        quality_weights: weight of the task at quality 1 and at quality 8, against bits per pixel.
        quality_bend: how the others lie between: geometrically with 1; above, the low ones closer together.
        seed: of everything that is random.
        name: of the codec: 1 to 63 characters of a-z, 0-9, ``.``, ``_``, ``-``; goes into every ``.plf``.
        description: one line for people.
        model: what the codec file calls the network; the name of its class unless given.
        out: folder for checkpoint, log, plot and ``codec.safetensors``; the same call goes on from there
            after an interruption, to the same codec bit for bit on a CPU. Without it nothing is written.
        callback: called after each step of the codec, in the first process, with the number of the step, from
            1, and its `featcodec.fitting.loop.Figures`; what it raises ends the fit.
        device: that the fit runs on, such as ``"cuda"``.
        devices: processes, each with a device of its own; see docs/fitting.md.
        start: codec, by name or path, whose weights and widths the fit starts from; or several of the same
            widths, from the mean of whose weights.
        crop: side of the training canvas in pixels, for pictures from files; about `size` unless given. A
            smaller one takes less time a step.
        hold_out: of the pictures of a folder, by name, every so many one is left out, to choose by; 0: none.
        workers: processes that prepare pictures; 0: the one that fits.
        lr: peak learning rate of the codec; warm-up over 2 % of the steps, then a cosine to 2 % of it.
        optimizer: ``"muon"`` for the inner convolutions (it needs torch 2.9), or ``"adamw"`` for all.
        bf16: whether networks run in bfloat16 where autocast says that it does no harm.
        warm_up: share of the steps, at the start, in which the task's metric takes the place of its tail.
        balance: each picture's loss is divided by its lambda to this power; 0: large lambdas rule.
        average: share that the average of the weights keeps at each step; the codec is the average.
        feature_weight: weight of the features' own error in the distortion.
        output_weight: weight of a detector's raw outputs (of a YOLOv5 or a YOLOX) in the distortion.
        tune_tail: whether the network behind the cut learns, too, from what it computes of uncoded features,
            to do with what is decoded. The codec file then holds its weights, and decoded features go through
            them; the network itself, and what it computes of uncoded features, stay as they are. It is for a
            network of which you may give a changed copy away.
        erase: directions of 2x2 blocks of the features that are taken out at the start, those that tell most
            of the picture for what they are worth to the task; for a fit that starts from no codec.
        linear_privacy: weight of what the best linear attacker explains of the picture.
        hide: an ONNX network from pictures (N, 3, S, S), RGB with ImageNet normalisation, to vectors that
            must not be inferable from the latents, such as a face recogniser. It needs `hide_images` and
            onnxruntime.
        hide_images: folder of pictures, in subfolders, too, for which that holds; pictures whose names differ
            in a number at the end only show the same person or thing, and there are at least eight of those.
            Each step takes as many of them as of the others, and what else is minimised holds for them, too.
        hide_weight: weight of the cosine of inferred vectors with true ones.
        hide_crop: share of the pictures' shorter side, in (0, 1]: the square in the middle that the network
            `hide` gets, scaled, and whose latents its vectors are inferred from.
        hide_hold_out: of the people or things of `hide_images`, by name, the first and then every so many one
            is left out, to choose by; 0: none.
        adversaries: how many there are; the one that rebuilds a picture best counts.
        adversary_loss: ``"edges"`` (L1, and `beta` times that of the luma's gradients) or ``"squared"``.
        beta: weight of the edges in the adversary's loss.
        adversary_lr: the adversaries' learning rate, constant.
        adversary_head_start: steps that the adversaries train alone before the codec moves.
        adversary_steps: steps of the adversaries for each step of the codec.
        adversary_restart: every so many steps an adversary, each in turn, starts from nothing; 0: never.
        latents: channels of what is coded; 128, or as many as the codec to start from has, unless given. To
            more than that has, those are added that say best what it leaves over.
        analysis, synthesis: channels inside the encoder and inside the decoder.
        classes: names of such a detector's classes, by number; COCO's unless given, for one with 80.
        confidence: of such a detector: score in (0, 1) from which a box is worth showing; 0.25 unless given.
        embed_network: whether the codec file holds the network's weights, too, as float16; of such a
            detector only. Whoever has the file has the network then: it is for one that you may give away
            under your terms, and whose `classes` you name.

    Returns:
        The codec, with the network; on the CPU.

    Raises:
        FitError: it cannot start, or has to stop; says why.
        SplitError: the network cannot be cut there.
        InputError: pictures or settings that cannot be used.
        MissingExtraError: the extra featcodec[fit] is not installed.
        KeyboardInterrupt: it was interrupted; what was done up to there is in `out`.

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
    given = dict(locals())
    given["network"] = plain_module(network)
    if at is None:
        given["at"] = default_cut(given["network"])
    if model is None:
        given["model"] = type(given["network"]).__name__
    with training():
        return _fit_from(given)


def _fit_from(given: dict[str, Any]) -> FeatureCodec:
    """Of everything that `fit` takes, by name."""
    _check_arguments(given)
    settings = Settings(**{field.name: given[field.name] for field in fields(Settings)})
    network, images, coco, task, out = (given[n] for n in ("network", "images", "coco", "task", "out"))
    folder = Path(out) if out is not None else None
    secret = VectorModel(Path(settings.hide)) if settings.hide is not None else None
    processes, where = start_processes(given["devices"], given["device"])
    if secret and processes.world > 1:  # the memory of the others would be in no checkpoint
        raise InputError(f"hide: got {processes.world} devices, expected one with it")
    cut = _cut(network, settings, where)
    starts = [zoo.decoder(codec).file for codec in settings.starts]
    if not settings.tune_tail and any(file.tail for file in starts):
        raise InputError("start: got a codec with a tuned tail, expected tune_tail with it")
    subject = _Subject(network, cut, settings, processes, task, _data_identity(images, coco, task), starts)
    samples = data_set(
        images,
        side=subject.side,
        seed=settings.seed,
        size=settings.size,
        hold_out=settings.hold_out,
        coco=coco,
    )
    if folder and processes.rank == 0:
        make_folder(str(folder), parents=True)
    file = _fit(subject, samples, folder, given["minutes"], where, secret, given["callback"])
    # with the weights as the file holds them, so that it encodes as whoever loads it will
    return zoo.remember(file, None if zoo.is_whole(file) else network)


def _check_arguments(given: dict[str, Any]) -> None:
    """Types of what is no setting; raises InputError."""
    path = (str, os.PathLike)
    kinds: dict[str, tuple[str, tuple[type, ...]]] = {
        "coco": ("a path or None", (*path, type(None))),
        "out": ("a path or None", (*path, type(None))),
        "images": ("a folder, a list of paths or a data set", (*path, list, tuple, Dataset)),
        "minutes": ("a number above 0 or None", (int, float, type(None))),
        "device": ("text such as cpu or cuda", (str, torch.device)),
        "devices": ("an integer of at least 1", (int,)),
    }
    for name, (expected, types) in kinds.items():
        value = given[name]
        positive = name not in ("minutes", "devices") or value is None or 0 < value < float("inf")
        if not isinstance(value, types) or isinstance(value, bool) or not positive:
            raise InputError(f"{name}: got {shown(value)}, expected {expected}")
    if given["callback"] is not None and not callable(given["callback"]):
        raise InputError(f"callback: got {shown(given['callback'])}, expected a function or None")


@dataclass(frozen=True, slots=True)
class _Subject:
    """What a codec is fitted to, and how."""

    network: nn.Module
    cut: CutNetwork
    settings: Settings
    processes: Processes
    task: Any
    data_identity: str  # what else the run depends on, in words
    starts: Sequence[CodecFile]

    @property
    def latent_stride(self) -> int:
        return 2 * self.cut.crossing[0].stride

    @property
    def stride(self) -> int:
        return self.cut.canvas.stride

    @property
    def side(self) -> int:
        return -(-(self.settings.crop or self.settings.size) // self.stride) * self.stride

    @property
    def identity(self) -> str:
        s = self.settings
        sizes = [s.size, s.crop, s.hold_out, s.batch, s.latents, s.analysis, s.synthesis]
        sizes += [s.erase] if s.erase else []  # as checkpoints of earlier releases have it
        what = (self.cut.config.digest, s.at, channels_of(s.normalise), *sizes)
        starts = "".join(f" from {file.fingerprint.hex()} {file.encoder_digest}" for file in self.starts)
        return f"{json.dumps(what)} {self.processes.world} {self.data_identity}{starts}"

    def widths(self, features: int) -> Widths:
        """Of the codec, for features of so many channels; of those to start from, if there are any."""
        s = self.settings
        if not self.starts:
            return Widths(features, s.latents or LATENTS, analysis=s.analysis, synthesis=s.synthesis)
        first = self.starts[0].config
        for config in (file.config for file in self.starts):
            got, stride = config.widths, config.latent_stride
            if (got.features, stride) != (features, self.latent_stride):
                raise InputError(
                    f"start: got codec {config.name!r} of {got.features} channels at stride "
                    f"{config.feature_stride}, expected {features} at {self.latent_stride // 2}"
                )
            if got != first.widths:
                raise InputError(
                    f"start: got codec {config.name!r} of {got}, expected {first.widths}, as {first.name!r}"
                )
        if s.latents is not None and s.latents < first.widths.latents:
            raise InputError(
                f"latents: got {s.latents}, expected at least {first.widths.latents}, as {first.name!r} has"
            )
        return replace(first.widths, latents=s.latents or first.widths.latents)


def _cut(network: nn.Module, settings: Settings, where: torch.device) -> CutNetwork:
    if not family_of(network).embeds:
        for detail in ("confidence", "embed_network", "classes"):
            if getattr(settings, detail):
                raise InputError(
                    f"{detail}: got it for a {type(network).__name__}, expected a YOLOv5 or a YOLOX with it"
                )
    mean, deviation = channels_of(settings.normalise)
    classes = None if settings.classes is None else tuple(settings.classes)
    details = {} if settings.confidence is None else {"confidence": float(settings.confidence)}
    wish = NetworkWish(settings.at, settings.model, classes, mean=mean, deviation=deviation, **details)
    return cut_network(network, describe(network, wish), size=settings.size, device=where)


def _data_identity(images: Images, coco: object, task: object) -> str:
    """Text that changes with the pictures and the task, as far as they are known by name."""
    if isinstance(images, str | os.PathLike):
        named = os.fspath(images)
    elif isinstance(images, Sequence):
        named = hashlib.sha256("\n".join(map(str, images)).encode(errors="surrogateescape")).hexdigest()[:16]
    else:
        named = type(images).__name__
    return f"{named} {coco or ''} {task if isinstance(task, str) else getattr(task, '__qualname__', 'task')}"


def _fit(
    subject: _Subject, samples: Any, folder: Path | None, minutes: float | None, where: torch.device,
    secret: VectorModel | None, callback: Callable[[int, Figures], object] | None,
) -> CodecFile:  # fmt: skip
    from featcodec.fitting.log import FitLog
    from featcodec.fitting.loop import Fitting, fit_codec
    from featcodec.fitting.run import Run
    from featcodec.fitting.start import check_start
    from featcodec.fitting.tasks import find_task
    from featcodec.training.stopping import StopSignals

    s, processes = subject.settings, subject.processes
    checkpoint = folder / "checkpoint.pt" if folder else None
    resumed = bool(checkpoint and checkpoint.exists())  # which has all that a start would set
    sample = batches(samples, s.batch)
    first = list(islice(sample(0), -(-ENOUGH // s.batch)))
    f = _features(subject, first, where)
    about: Any = {"feature_weight": s.feature_weight, "output_weight": s.output_weight}
    task = find_task(subject.cut, subject.task, f[:PROBED], **about)
    tuned = _tunable(subject, task, f[:1]) if s.tune_tail else None
    model, warm_up = _started(subject, task, sample, first, f, folder, resumed)
    if tuned:
        task = find_task(subject.cut, subject.task, f[:PROBED], **about, tuned=tuned)
    source = batches(samples, s.batch, workers=s.workers, rank=processes.rank, world=processes.world)
    fitting = Fitting(subject.cut, task, source, processes, warm_up)
    hidden = _hidden_vectors(s, secret, first[0], folder) if secret else None
    identity = f"{subject.identity} hides {hidden.identity}" if hidden else subject.identity
    if not resumed:
        check_start(model, task, f[: s.batch], first[0][1])
    how: Any = {"latent_stride": subject.latent_stride, "identity": identity, "hidden": hidden}
    run = Run(model, s.options, **how, tail=tuned.network if tuned else None)
    if minutes is not None:
        planned = replace(s.options, steps=_steps_within(minutes, fitting, run, folder))
        run = Run(model, planned, **how, tail=run.tail)
    if checkpoint:
        run.resume(checkpoint)

    def export(run: Run) -> CodecFile:
        tail = {name: value.cpu() for name, value in run.averaged_tail().items()}
        file = _exported(copy.deepcopy(run.average).cpu(), subject, tail)
        if folder and processes.rank == 0:
            file.save(folder / "codec.safetensors")
        return file

    with StopSignals() as stop, FitLog(folder if processes.rank == 0 else None, run) as log:

        def report(run: Run, figures: Figures) -> None:
            log(run, figures)
            if callback is not None and processes.rank == 0:
                callback(run.step, figures)

        fit_codec(fitting, run, checkpoint=checkpoint, report=report, saved=export, stop=stop)
    return export(run)


def _started(
    subject: _Subject, task: Task, sample: Source, first: list[Batch], f: Tensor, folder: Path | None,
    resumed: bool,
) -> tuple[CodecModel, Task]:  # fmt: skip
    """The model as the fit starts with it, and the task of the first steps; `f` are features of `first`.

    A model whose weights a checkpoint brings is left as it is made.
    """
    from featcodec.fitting.start import find_statistics, metric_task, set_closed_form, set_weights
    from featcodec.fitting.tasks import FeatureTask
    from featcodec.training.hyperprior import CodecModel

    s, where = subject.settings, f.device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(s.seed)
        model = CodecModel(subject.widths(int(f.shape[1]))).to(where)
        wider = any(file.config.widths.latents < model.widths.latents for file in subject.starts)
        found, seen = None, list(first)
        warm_up: Task = FeatureTask()
        if s.warm_up or (not resumed and (wider or not subject.starts)):
            count = min(MEASURED, LARGEST_SAMPLE // f[0].numel())
            more = list(islice(sample(len(first)), max(0, -(-(count - len(f)) // s.batch))))
            f = torch.cat((f, _features(subject, more, where))) if more else f
            seen += more
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
        if subject.starts and not resumed:
            set_weights(model, subject.starts, f, (found, s.weights) if found else None)
        elif found is not None and not resumed:
            pictures = torch.cat([unit_floats(images.to(where)) for images, _ in seen]) if s.erase else None
            set_closed_form(model, found, f, s.weights, pictures=pictures, erased=s.erase)
    return model, warm_up


def _tunable(subject: _Subject, task: Task, f: Tensor) -> CutNetwork:
    """A copy of the network, whose tail's parameters have gradients; those of the start, where it has any.

    Raises:
        FitError: no parameter stands behind the cut alone.
        InputError: codecs to start from whose tails are of another network.
    """
    from featcodec.fitting.start import mean_tail

    try:
        tuned = with_tail(subject.cut, mean_tail(subject.starts))
    except ValueError as error:
        raise InputError(f"start: {error}") from error
    behind = tail_parameters(tuned, f, task.compared)
    if not behind:
        raise FitError("tune_tail: got no parameters that only the tail uses, expected some")
    for parameter in behind.values():
        parameter.requires_grad_(True)
    return tuned


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
        x = unit_floats(images.to(where))
        with torch.no_grad():
            found.append(subject.cut.head(x)[0])
    f = torch.cat(found)
    if not bool(torch.isfinite(f).all()):
        raise FitError(
            f"the features after layer {subject.settings.at} are not finite: is it the normalisation?"
        )
    return f


def _hidden_vectors(
    settings: Settings, secret: VectorModel, first: Batch, work: Path | None
) -> HiddenVectors:
    """Of the pictures of `hide_images`, on a canvas as the other pictures have it."""
    from featcodec.fitting.hidden_vectors import HiddenVectors, hidden_pictures

    assert settings.hide is not None
    assert settings.hide_images is not None
    images, labels = first
    if labels is not None:
        raise InputError("hide: got images with labels, expected a task without, as hide_images have none")
    return HiddenVectors.read(
        secret,
        Path(settings.hide),
        hidden_pictures(Path(settings.hide_images), settings.hide_hold_out),
        crop=settings.hide_crop,
        canvas=(int(images.shape[-2]), int(images.shape[-1])),
        batch=settings.batch,
        seed=settings.seed,
        work=work,
    )


def _steps_within(minutes: float, fitting: Any, run: Any, folder: Path | None) -> int:
    """How many steps fit into so many minutes; kept, as a fit that goes on has to go on with the same."""
    from featcodec.fitting.loop import seconds_a_step
    from featcodec.fitting.run import FITTING_VERSION
    from featcodec.training.budget import kept_budget

    def measured() -> int:
        pace = float(fitting.processes.mean(torch.tensor(seconds_a_step(fitting, run))))
        return max(1, int(60 * minutes / pace) - int(run.options.head_start))

    name = f"steps-{key({'fitting': FITTING_VERSION}, minutes=minutes)}.json"
    kept = folder / name if folder else None
    return kept_budget(kept, measured, write=fitting.processes.rank == 0).steps


def _exported(model: CodecModel, subject: _Subject, tail: Mapping[str, Tensor]) -> CodecFile:
    from featcodec.fitting.export import export

    s = subject.settings
    about = s.description or f"{s.model} cut after layer {s.at}"
    embed = subject.network if s.embed_network else None
    return export(
        model,
        subject.cut,
        name=s.name,
        description=about,
        latent_stride=subject.latent_stride,
        embed=embed,
        tail=tail,
    )
