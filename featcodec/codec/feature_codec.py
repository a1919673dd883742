"""FeatureCodec: what joins network, transforms, entropy coding and container.

image ─load_image─▶ x ─head─▶ f ─g_a─▶ y ─symbols─▶ (z, y symbols) ─entropy─▶ payload ─▶ .plf
.plf ─▶ payload ─entropy─▶ (z, y symbols) ─▶ ŷ ─g_s─▶ f̂ ─tail─▶ boxes
"""

from __future__ import annotations

import copy
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featcodec.codec.codec_file import CodecFile, behind_of
from featcodec.codec.decode_memory import check_boxes_memory
from featcodec.codec.effort import DEFAULT_EFFORT, REFINEMENTS, check_effort
from featcodec.codec.model_card import model_card
from featcodec.codec.network_words import missing
from featcodec.codec.search import Task, refine
from featcodec.codec.symbol_codec import SymbolCodec, Symbols, largest_within, step_of
from featcodec.errors import InputError, SplitError
from featcodec.hub import CARD, CODEC_FILE, upload
from featcodec.networks.compared import compared_maps
from featcodec.networks.cut_network import CutNetwork, DetectorHead, detector_of, find_boxes
from featcodec.networks.packed import pack, unpack
from featcodec.networks.torch_state import inference, training
from featcodec.pictures.boxes import Boxes
from featcodec.pictures.geometry import Geometry
from featcodec.pictures.loading import Channels, ImageLike
from featcodec.plf.bitstream import DEFAULT_LIMITS, Bitstream, Limits, parse
from featcodec.plf.header import Header

__all__ = ["ENCODER_VERSION", "FeatureCodec", "Features", "Symbols"]

ENCODER_VERSION = 1  # raise it when the encoder gives other bytes for the same features: it is not normative

Ints = NDArray[np.int32]


class Features(torch.Tensor):
    """Decoded features: a tensor (1, C, h, w) that remembers the picture and the file it came from.

    What is computed from it is a plain tensor.

    Attributes:
        geometry: size of the original photograph and its place on the network's canvas.
        header: of the ``.plf`` file; None for features that were never coded.
        metadata: that the file carried along; None if it has none.
    """

    geometry: Geometry
    header: Header | None = None
    metadata: Mapping[str, object] | None = None
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, Any]) -> Features:
        copied = Features.of(copy.deepcopy(self.as_subclass(Tensor), memo), self.geometry)
        memo[id(self)] = copied
        return copied

    @staticmethod
    def of(tensor: Tensor, geometry: Geometry, stream: Bitstream | None = None) -> Features:
        """`tensor` with its geometry, and what the file says that it is from; shares its memory."""
        features = tensor.as_subclass(Features)
        features.geometry = geometry
        if stream is not None:
            features.header, features.metadata = stream.header, stream.metadata
        return features


@dataclass(frozen=True, slots=True)
class _Latents:
    """Latents y (M, h, w) of a picture, the features (1, C, h, w) that they are of, and where it lies."""

    y: Tensor
    features: Tensor
    geometry: Geometry


class FeatureCodec(SymbolCodec):
    """A fitted codec and the network that it was fitted to.

    Made by `featcodec.load` or `featcodec.fit`, not by hand. Without the network it decodes, but neither
    encodes nor detects.

    Example:
        >>> import featcodec
        >>> from skimage.data import astronaut
        >>> codec = featcodec.load("yolox-nano-private")
        >>> data = codec.encode(astronaut(), quality=4)
        >>> features = codec.decode(data)
        >>> tuple(features.shape)
        (1, 64, 52, 52)
        >>> codec.detect(features)[0].label
        'person'
    """

    def __init__(self, file: CodecFile, network: CutNetwork | None):
        super().__init__(file.config, file.model, file.fingerprint)
        self.file = file
        self._network = network
        self._behind = network and behind_of(file, network)

    @property
    def network(self) -> CutNetwork:
        """The network, cut: what encodes, and what uncoded features go through.

        Raises:
            InputError: the codec was made without it.
        """
        if self._network is None:
            raise InputError(missing(self.file.config))
        return self._network

    @property
    def behind(self) -> CutNetwork:
        """What decoded features go through: the network, with the codec's own tail if that was tuned.

        Raises:
            InputError: the codec was made without its network.
        """
        return self._behind or self.network

    @property
    def detector(self) -> DetectorHead:
        """What makes boxes of what the network returns.

        Raises:
            InputError: the codec was made without its network, or that is no detector that featcodec knows.
        """
        return detector_of(self.network)

    @property
    def encoder_digest(self) -> str:
        """What only encoding depends on, as `featcodec.codec.codec_file.CodecFile` has it."""
        return self.file.encoder_digest

    @property
    def confidence(self) -> float:
        """The score from which a box is worth showing, unless asked otherwise; errors as `detector`."""
        return self.detector.confidence

    def save(self, path: str) -> None:
        """Writes the codec file (safetensors); whole or not at all."""
        self.file.save(path)

    def push_to_hub(
        self, repository: str, *, private: bool | None = None, license: str | None = None, figures: str = ""
    ) -> str:
        """Puts the codec file on the Hugging Face Hub, with a card; `featcodec.load` takes it from there.

        A repository that is not there is made. A card that is there already is kept.

        Args:
            repository: ``owner/name``.
            private: whether a new repository is; None for what its owner has set for new ones.
            license: of the codec, as the hub spells it, such as ``"apache-2.0"``.
            figures: Markdown on rates and accuracy, for the card; ``featcodec push --result`` makes it of
                what the bench measured.

        Returns:
            The page of the commit.

        Raises:
            InputError: the hub cannot be reached, or refuses, as it does without a token; or `license` is
                none.
            MissingExtraError: huggingface_hub is not installed.
        """
        if license is not None and not re.fullmatch(r"[a-z0-9.-]{1,64}", license):
            raise InputError(f"license: got {license!r:.80}, expected a name such as apache-2.0")
        card = model_card(self.file, repository, license=license, figures=figures)
        files = {CODEC_FILE: self.file.to_bytes(), CARD: card.encode()}
        return upload(repository, files, private=private, message=f"Codec {self.name}")

    # ---- encoding

    def encode(
        self,
        image: ImageLike,
        *,
        quality: float | None = None,
        target_bytes: int | None = None,
        effort: int = DEFAULT_EFFORT,
        metadata: Mapping[str, object] | None = None,
        max_pixels: int = DEFAULT_LIMITS.max_pixels,
        channels: Channels = "rgb",
    ) -> bytes:
        """A picture to a complete ``.plf`` file.

        Args:
            image: path, encoded bytes, PIL image, array or tensor; see
                `featcodec.pictures.loading.load_image`.
            quality: 1 (smallest) to 8 (largest), in steps of 1/32; 4 unless given.
            target_bytes: instead of a quality: the best quality whose file has at most so many bytes; tries
                nine qualities, each at the effort given.
            effort: how hard to search for symbols that cost less: 0 rounds, 1 weighs bits against errors,
                2 and 3 refine the latents through the decoder and the network's tail, in 8 and 40 passes.
            metadata: JSON values to carry along, at most 64 KiB.
            max_pixels: larger pictures are refused before their pixels are decoded.
            channels: "bgr" for an array or tensor whose colours are in that order, as OpenCV gives them.

        Returns:
            The bytes of the file.

        Raises:
            ImageError: not a picture.
            InputError: quality or effort out of range, both or impossible `target_bytes`; effort 2 or 3 for a
                network that returns nothing with gradients, or nothing of a fixed shape.
        """
        return self.encode_batch(
            [image],
            quality=quality,
            target_bytes=target_bytes,
            effort=effort,
            metadata=metadata,
            max_pixels=max_pixels,
            channels=channels,
        )[0]

    @inference()
    def encode_batch(
        self,
        images: Sequence[ImageLike],
        *,
        quality: float | None = None,
        target_bytes: int | None = None,
        effort: int = DEFAULT_EFFORT,
        metadata: Mapping[str, object] | None = None,
        max_pixels: int = DEFAULT_LIMITS.max_pixels,
        channels: Channels = "rgb",
    ) -> list[bytes]:
        """Several pictures of any sizes at once; those whose canvases agree share a pass of the network.

        Arguments and errors as `encode`; `target_bytes` holds for each file.
        """
        step, effort = step_of(quality, target_bytes), check_effort(effort)
        if not isinstance(images, Sequence) or isinstance(images, str | bytes | bytearray):
            raise InputError(f"images: got {type(images).__name__}, expected a list of pictures")
        _ = self.network  # fail before reading pictures if there is no network
        canvas = self.file.config.canvas
        loaded = [canvas.load(i, max_pixels=max_pixels, channels=channels) for i in images]
        out: dict[int, bytes] = {}
        for i, f, y in self._latents([x for x, _ in loaded]):
            latents = _Latents(y, f, loaded[i][1])
            make = partial(self._file, latents, effort=effort, metadata=metadata)
            out[i] = make(step) if target_bytes is None else largest_within(make, target_bytes)
        return [out[i] for i in range(len(loaded))]

    @inference()
    def features(self, image: ImageLike, *, channels: Channels = "rgb") -> Features:
        """A picture to the uncoded features, as if they had crossed the cut unchanged; see `encode`."""
        x, geometry = self.file.config.canvas.load(image, channels=channels)
        return Features.of(self.network.head(x)[0], geometry)

    @inference()
    def encode_features(
        self,
        features: Tensor,
        geometry: Geometry,
        *,
        quality: float | None = None,
        effort: int = DEFAULT_EFFORT,
    ) -> bytes:
        """Uncoded features (1, C, h, w), of a head that the caller has run, to a ``.plf`` file.

        Efforts 0 and 1 do not need the network.

        Raises:
            InputError: as `encode`, or a shape that is not what the head gives for `geometry`.
        """
        stride = self.file.config.feature_stride
        shape = (1, self.file.config.widths.features)
        expected = (*shape, geometry.canvas_height // stride, geometry.canvas_width // stride)
        if not isinstance(features, Tensor) or tuple(features.shape) != expected:
            raise InputError(f"encode: got features {_shape(features)}, expected {expected}")
        step, effort = step_of(quality, None), check_effort(effort)
        f = features.as_subclass(torch.Tensor)
        latents = _Latents(self.file.g_a(f)[0], f, geometry)
        return self._file(latents, step, effort=effort, metadata=None)

    def _latents(self, xs: list[Tensor]) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Number, features (1, C, h, w) and latents (M, h, w) of canvases (1, 3, H, W), shape by shape."""
        for where in _same_shape(xs):
            with inference():
                f = self.network.head(torch.cat([xs[i] for i in where]))[0]
                y = self.file.g_a(f)
            yield from zip(where, f.split(1), y, strict=True)

    @inference()
    def symbols(
        self, y: Tensor, step: int, *, effort: int = DEFAULT_EFFORT, features: Tensor | None = None
    ) -> Symbols:
        """Latents (M, h, w) to what is coded, at a quality step of 0 to 224.

        Args:
            y: of one picture.
            step: of the quality.
            effort: as of `encode`.
            features: (1, C, h, w) that the latents are of; effort 2 and 3 need them.
        """
        inverse_gain = self.file.inverse_gain(step)[:, None, None]
        y_g = y / inverse_gain
        self.check_latents(y_g.numpy())
        z = self.side_symbols(self.file.h_a(y_g[None])[0].numpy())
        index, mean = self.model.h_s(z, y.shape[-2], y.shape[-1])
        residual = y_g.numpy().astype(np.float64) - mean
        if effort not in REFINEMENTS:
            y_symbols = self.latent_symbols(residual, index, effort)
        elif features is None:
            raise InputError(f"symbols: got effort {effort} and no features, expected them from effort 2 on")
        else:
            task = self._task(features, inverse_gain)
            y_symbols = refine(residual, index, mean, self.symbol_bits, task, REFINEMENTS[effort])
        return Symbols(z, y_symbols, index, mean)

    def _task(self, features: Tensor, inverse_gain: Tensor) -> Task:
        """The network's own judgement of coded latents, against uncoded features (1, C, h, w)."""
        network = self.network
        with training():  # which outputs have gradients shows only where there is one to take
            wanted = compared_maps(network, features.detach().clone().requires_grad_())
        return Task(
            lambda coded: compared_maps(self.behind, self.file.g_s(coded * inverse_gain)),
            [m.detach() for m in wanted],
        )

    def _file(
        self, latents: _Latents, step: int, *, effort: int, metadata: Mapping[str, object] | None
    ) -> bytes:
        s = self.symbols(latents.y, step, effort=effort, features=latents.features)
        return self.file_of(s, latents.geometry, step, metadata)

    # ---- decoding

    def decode(self, data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Features:
        """A ``.plf`` file to the features that the network's tail takes.

        Args:
            data: the whole file.
            limits: what is refused as too large, before anything is allocated.

        Returns:
            (1, C, h, w) float32 with the picture's geometry, and the file's header and metadata.

        Raises:
            BitstreamError: the bytes are damaged, or larger than the limits.
            ModelMismatchError: another codec made the file.
        """
        return self.decode_batch([data], limits=limits)[0]

    @inference()
    def decode_batch(self, files: Sequence[bytes], *, limits: Limits = DEFAULT_LIMITS) -> list[Features]:
        """Several files at once; errors as `decode`, for the first file that is wrong."""
        streams = [parse(data, limits=limits) for data in files]
        read = [self._latents_of(stream, limits) for stream in streams]
        out: dict[int, Features] = {}
        for where in _same_shape([y for y, _ in read]):
            f_hat = self.file.g_s(torch.cat([read[i][0] for i in where]))
            for i, f in zip(where, f_hat, strict=True):
                out[i] = Features.of(f[None], read[i][1], streams[i])
        return [out[i] for i in range(len(files))]

    @inference()
    def decode_latents(self, data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> tuple[Tensor, Geometry]:
        """A ``.plf`` file to the decoded latents (1, M, h, w): what a thief of the bytes has.

        The same bytes give the same latents, bit for bit, everywhere. Errors as `decode`.
        """
        return self._latents_of(parse(data, limits=limits), limits)

    def _latents_of(self, stream: Bitstream, limits: Limits) -> tuple[Tensor, Geometry]:
        geometry = self.geometry_of(stream.header)
        s = self.decode_symbols(stream, geometry, limits=limits)
        return self.latents_of(s, stream.header.quality_step)[None], geometry

    def latents_of(self, s: Symbols, step: int) -> Tensor:
        """Decoded symbols to latents (M, h, w), at a quality step of 0 to 224."""
        return torch.from_numpy(self.latent_array(s, step))

    # ---- the network's tail

    @inference()
    def tail(self, features: Tensor) -> Any:
        """Features (B, C, h, w), decoded or not, to what the network returns for the canvases.

        For a YOLOv5 or a YOLOX these are the raw outputs of its detection head; `detect` makes boxes of them.
        Where the codec has a tail of its own, everything goes through that, except what `features` gave.

        Raises:
            InputError: the codec was made without its network, or a shape that the tail does not take.
        """
        channels = self.file.config.widths.features
        if not isinstance(features, Tensor) or features.ndim != 4 or features.shape[1] != channels:
            raise InputError(f"tail: got features {_shape(features)}, expected (B, {channels}, h, w)")
        return self._for(features).tail((features.as_subclass(torch.Tensor),))

    def pack(self, tensors: Sequence[Tensor]) -> Tensor:
        """The tensors that cross the cut, of a head that the caller has run, to what `encode_features` takes.

        Args:
            tensors: in the order of the cut, as `featcodec.split(…).head` gives them.

        Returns:
            (B, C, h, w).

        Raises:
            SplitError: as many others, or of other shapes than the canvas leads to.
        """
        packing = self.file.config.packing
        if packing:
            return pack(packing, tensors)
        if len(tensors) != 1:
            raise SplitError(f"pack: got {len(tensors)} tensors, expected 1")
        return tensors[0]

    def unpack(self, features: Tensor) -> dict[str, Tensor]:
        """Features (B, C, h, w) to the tensors that cross the cut, in the shapes that the network gives them.

        Several tensors, or tokens, are coded as one (`featcodec.networks.packing`); where one crosses as it
        is, it is the only one.

        Returns:
            Each by the name of the layer that computes it, in the order of the cut.

        Raises:
            SplitError: a shape that `decode` does not give.
        """
        plain, packing = features.as_subclass(torch.Tensor), self.file.config.packing
        if packing is None:
            return {str(self.file.config.network.at): plain}
        names = [about.name for about in packing.tensors]
        return dict(zip(names, unpack(packing, plain), strict=True))

    def _for(self, features: Tensor) -> CutNetwork:
        """What features go through: the network as it is for those that say of themselves that no codec has
        touched them."""
        uncoded = isinstance(features, Features) and features.header is None
        return self.network if uncoded else self.behind

    @inference()
    def detect(
        self,
        features: Tensor | bytes,
        *,
        geometry: Geometry | None = None,
        confidence: float | None = None,
        iou: float = 0.45,
        most: int = 300,
        limits: Limits = DEFAULT_LIMITS,
    ) -> Boxes:
        """Features, or a ``.plf`` file, to boxes in pixels of the original photograph, best first.

        Args:
            features: what `decode` gave, or the bytes of a file; or what `features` gave, which goes through
                the network as it is, even if the codec has a tail of its own.
            geometry: for a plain tensor (1, C, h, w): the picture's geometry.
            confidence: least score in [0, 1]; the codec's own, `confidence`, unless given.
            iou: overlap in [0, 1] above which the weaker of two boxes of a class goes.
            most: boxes at the most.
            limits: what is refused as too large, before anything is allocated.

        Raises:
            LimitError: the codec has so many classes that their scores would take too much memory.
            InputError: a tensor without geometry, or of a shape that the tail does not take.
        """
        given = None if geometry is None else [geometry]
        return self.detect_batch(
            [features], geometries=given, confidence=confidence, iou=iou, most=most, limits=limits
        )[0]

    def detect_batch(
        self,
        files_or_features: Sequence[Tensor | bytes],
        *,
        geometries: Sequence[Geometry] | None = None,
        confidence: float | None = None,
        iou: float = 0.45,
        most: int = 300,
        limits: Limits = DEFAULT_LIMITS,
    ) -> list[Boxes]:
        """Several pictures at once; those of equal shapes share the passes of g_s and of the network's tail.

        Scores and corners may differ from those of `detect` by what floating-point sums do in another
        order: less than 1e-4 of the score, and a hundredth of a pixel.

        Args:
            files_or_features: of each what `decode` gave, or the bytes of a file.
            geometries: for plain tensors (1, C, h, w): of each its picture's.
            confidence, iou, most: as of `detect`, for each.
            limits: what files are refused as too large.

        Returns:
            The boxes of each.

        Raises:
            InputError: a tensor without geometry, or of a shape that the tail does not take.
            BitstreamError: a file is damaged, or larger than the limits.
            ModelMismatchError: another codec made a file.

        Example:
            >>> import featcodec
            >>> from skimage.data import astronaut
            >>> codec = featcodec.load("yolox-nano-private")
            >>> data = codec.encode(astronaut())
            >>> [boxes[0].label for boxes in codec.detect_batch([data, codec.decode(data)])]
            ['person', 'person']
        """
        detector = self.detector  # without a network there is nothing to decode for
        given = list(files_or_features)
        for one in given:
            if not isinstance(one, bytes | bytearray | Tensor):
                raise InputError(
                    f"detect: got {type(one).__name__}, expected features or the bytes of a file"
                )
        coded = [i for i, one in enumerate(given) if isinstance(one, bytes | bytearray)]
        decoded = self.decode_batch([bytes(given[i]) for i in coded], limits=limits)
        features: dict[int, Tensor] = {i: one for i, one in enumerate(given) if isinstance(one, Tensor)}
        features |= dict(zip(coded, decoded, strict=True))
        where = [features[i] for i in range(len(given))]
        places = [self._place(f, None if geometries is None else geometries[i]) for i, f in enumerate(where)]
        out: dict[int, Boxes] = {}
        for place in places:
            check_boxes_memory(detector.candidates(place), len(detector.classes), limits)
        plain = [f.as_subclass(torch.Tensor) for f in where]
        behind = [self._for(f) for f in where]
        for group in _alike([(tuple(f.shape), id(n)) for f, n in zip(plain, behind, strict=True)]):
            found = find_boxes(
                behind[group[0]],
                torch.cat([plain[i] for i in group]),
                [places[i] for i in group],
                confidence=confidence,
                iou=iou,
                most=most,
            )
            out |= dict(zip(group, found, strict=True))
        return [out[i] for i in range(len(given))]

    def _place(self, features: Tensor, geometry: Geometry | None) -> Geometry:
        """Where the picture of features lies; errors as `detect`."""
        geometry = geometry if geometry is not None else getattr(features, "geometry", None)
        if geometry is None:
            raise InputError("detect: a plain tensor does not know its picture; give geometry=")
        channels = self.file.config.widths.features
        if features.ndim != 4 or features.shape[:2] != (1, channels):
            raise InputError(f"detect: got features {tuple(features.shape)}, expected (1, {channels}, h, w)")
        return geometry


def _shape(features: object) -> object:
    return tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__


def _same_shape(tensors: Sequence[Tensor]) -> list[list[int]]:
    """Positions of tensors that can share a batch."""
    return _alike([tuple(t.shape) for t in tensors])


def _alike(keys: Sequence[Hashable], most: int = 16) -> list[list[int]]:
    """Positions of equal keys, in groups of at most `most`."""
    groups: dict[Hashable, list[int]] = {}
    for i, key in enumerate(keys):
        groups.setdefault(key, []).append(i)
    return [g[i : i + most] for g in groups.values() for i in range(0, len(g), most)]
