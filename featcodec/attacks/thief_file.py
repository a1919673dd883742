"""Thief files: a network that rebuilds pictures from one codec's files, and all that is known of it.

    body.*            float16   parameters of an `AttackerNetwork`
    mean, deviation   float32   (C,) of the latents, by which it normalises them

The file is safetensors; its metadata is one canonical JSON object, a `ThiefRecord`: against which codec the
thief was trained, how, and what it and the stronger attackers beside it reached. It is read as strictly as a
codec file, from which it differs in that no fingerprint covers it: a thief changes no result but its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor

from featcodec.attacks.attacker_networks import AttackerNetwork
from featcodec.attacks.targets import window
from featcodec.attacks.thief_record import ThiefRecord
from featcodec.codec.codec_file import CodecFile
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.errors import CodecFileError, FeatcodecError, ModelMismatchError, one_line
from featcodec.files import printable, read_file, write_atomic
from featcodec.networks.pickle_records import Unusable, short
from featcodec.networks.safetensors_header import read_description, read_tensors
from featcodec.networks.torch_state import inference
from featcodec.pictures.pixels import Pixels, pixels
from featcodec.plf.bitstream import DEFAULT_LIMITS, Limits, parse

__all__ = ["LARGEST_FILE", "ThiefFile"]

LARGEST_FILE = 1 << 25  # bytes; the U-Net at its full width has 8.4 MB
METADATA_KEY = "featcodec-thief"
_DTYPES = ("F16", "F32")
_BUFFERS = ("mean", "deviation")


@dataclass(frozen=True)
class ThiefFile:
    """A thief's tensors, as stored, and what is said of it."""

    record: ThiefRecord
    tensors: Mapping[str, Tensor]

    @staticmethod
    def of(record: ThiefRecord, network: AttackerNetwork) -> ThiefFile:
        """The file of a trained network; its parameters are rounded to half precision."""
        state = network.state_dict()
        tensors = {n: (v.float() if n in _BUFFERS else v.half()).contiguous() for n, v in state.items()}
        return ThiefFile(record, tensors)

    @property
    def weights(self) -> int:
        """How many numbers were learned."""
        return sum(v.numel() for n, v in self.tensors.items() if n not in _BUFFERS)

    @cached_property
    def network(self) -> AttackerNetwork:
        """In evaluation mode, float32."""
        return self._network()

    @inference()
    def _network(self) -> AttackerNetwork:
        r = self.record
        with torch.device("meta"):  # a file that asks for huge layers fails when it does not bring them
            network = AttackerNetwork(
                r.kind, channels=r.channels, stride=r.stride, points=r.points, width=r.width
            )
        network.load_state_dict({name: value.float() for name, value in self.tensors.items()}, assign=True)
        return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def check(self) -> ThiefFile:
        """Builds everything once: a bad file fails when it is read or written, not amid a picture.

        Raises:
            CodecFileError: it contradicts itself.
        """
        try:
            self.record.check()
            for name, value in self.tensors.items():
                expected = torch.float32 if name in _BUFFERS else torch.float16
                if value.dtype != expected:
                    raise ValueError(f"{short(name)}: got {value.dtype}, expected {expected}")
                if not bool(torch.isfinite(value).all()):
                    raise ValueError(f"{short(name)}: got values that are not finite")
            if not bool((self.tensors["deviation"] > 0).all()):
                raise ValueError("deviation: got 0 or less, expected more")
            _ = self.network
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CodecFileError(f"thief of {short(self.record.codec)!r}: {one_line(error)}") from error
        return self

    def to_bytes(self) -> bytes:
        """The content of the file; raises what `check` raises."""
        ThiefFile(self.record, self.tensors).check()
        return save_tensors(dict(self.tensors), metadata={METADATA_KEY: self.record.to_json()})

    def save(self, path: str | Path) -> None:
        """Writes the file whole or not at all; raises what `check` raises."""
        write_atomic(path, self.to_bytes())

    @staticmethod
    @inference()
    def load(path: str | os.PathLike[str]) -> ThiefFile:
        """Reads a thief file.

        Raises:
            InputError: missing or unreadable.
            CodecFileError: not a thief file, or one that contradicts itself.
        """
        data = read_file(path, LARGEST_FILE)
        try:
            record = ThiefRecord.from_json(read_description(data, METADATA_KEY, dtypes=_DTYPES))
            return ThiefFile(record, read_tensors(data)).check()
        except CodecFileError as error:
            error.path = printable(path)
            raise
        except (Unusable, ValueError) as error:
            ours = isinstance(error, Unusable | FeatcodecError)
            got = " ".join(str(error).split())[:300] if ours else one_line(error)
            raise CodecFileError(
                f"expected a featcodec thief file, got {got}", path=printable(path)
            ) from error

    def check_codec(self, codec: CodecFile) -> None:
        """Whether the thief learned from files that this codec decodes.

        Raises:
            ModelMismatchError: it learned from another codec's.
        """
        r, config = self.record, codec.config
        if r.fingerprint != codec.fingerprint.hex():
            raise ModelMismatchError(
                f"the thief learned from files of codec {r.codec!r} with fingerprint {r.fingerprint}, got "
                f"{config.name!r} with {codec.fingerprint.hex()}"
            )
        got, expected = (r.channels, r.stride), (config.widths.latents, config.latent_stride)
        if got != expected:
            raise ModelMismatchError(
                f"the thief takes {got[0]} latents at stride {got[1]}, got codec {config.name!r} with "
                f"{expected[0]} at {expected[1]}"
            )

    @inference()
    def rebuild(self, codec: FeatureCodec, data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Pixels:
        """What the thief makes of a ``.plf`` file.

        Args:
            codec: whose file it is; its network is not needed.
            data: the whole file.
            limits: what is refused as too large, before anything is allocated.

        Returns:
            (H, W, 3) uint8 RGB, the photograph as the network saw it: scaled down to the codec's canvas,
            without its grey borders. Nothing of a higher resolution is in the file.

        Raises:
            BitstreamError: the bytes are damaged, or larger than the limits.
            ModelMismatchError: another codec made the file, or the thief is another one's.
        """
        self.check_codec(codec.file)
        latents, geometry = codec.decode_latents(data, limits=limits)
        quality = torch.tensor([parse(data, limits=limits).header.quality])
        canvas = self.network(latents.contiguous(memory_format=torch.channels_last), quality)[0]
        return pixels(canvas.clamp(0, 1)[window(geometry)])
