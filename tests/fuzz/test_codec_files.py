"""No mutant of a codec file gets anything out of the library but a codec that works or an error of ours."""

from __future__ import annotations

import random
import time
from collections import Counter

import numpy as np
import pytest
from codec_mutants import KINDS, network, pack, sound, unpack

from featcodec.codec.codec_file import CodecFile, network_of
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.errors import BitstreamError, CodecFileError, InputError

MAX_SECONDS = 2.0  # of the processor; a sound file takes 0.1, and whatever is refused less than one
NOT_FINITE = {  # little-endian infinity and NaN
    "F16": (b"\x00\x7c", b"\x00\x7e"),
    "F32": (b"\x00\x00\x80\x7f", b"\x00\x00\xc0\x7f"),
    "F64": (bytes(6) + b"\xf0\x7f", bytes(6) + b"\xf8\x7f"),
}
PICTURE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)


def used(path) -> str:
    """Load a file and do everything with it that can be done."""
    try:
        file = CodecFile.load(path)
        codec = FeatureCodec(file, network_of(file, None))
        codec.detect(codec.encode(PICTURE, quality=8), confidence=0.0)
    except (CodecFileError, InputError, BitstreamError) as error:
        if "\n" in str(error) or len(str(error)) > 800:
            raise AssertionError(f"not one short line: {error}") from error
        return type(error).__name__
    return "worked"


@pytest.mark.parametrize("kind", KINDS)
def test_every_mutant_works_or_ends_with_a_named_error_in_bounded_time(kind, tmp_path):
    network()
    make, count = KINDS[kind]
    path, outcomes = tmp_path / "c.safetensors", Counter()
    for number in range(count):
        path.write_bytes(make(random.Random(f"{kind} {number}")))
        start = time.process_time()
        try:
            outcomes[used(path)] += 1
        except Exception as error:
            raise AssertionError(f"{kind} {number}: {type(error).__name__}: {error}") from error
        assert time.process_time() - start < MAX_SECONDS, f"{kind} {number}"
    # other finite weights make another codec that works, so of changed numbers fewer are refused; else the
    # network's digest, or a check, finds nearly all
    assert outcomes["CodecFileError"] > count // (8 if kind == "numbers" else 4), outcomes
    if kind == "numbers":
        assert outcomes["worked"] > 0, outcomes


def test_numbers_that_are_not_finite_are_refused_in_every_tensor_of_the_codec(tmp_path):
    path = tmp_path / "c.safetensors"
    header, tensors = unpack(sound())
    own = [k for k in header if not k.startswith(("__", "network."))]  # the network has its digest
    floats = [k for k in own if header[k]["dtype"] in NOT_FINITE]
    assert {"g_a.linear.weight", "g_s.linear.bias", "h_a.net.0.weight"} <= set(floats)
    for name in floats:
        start, _ = header[name]["data_offsets"]
        for value in NOT_FINITE[header[name]["dtype"]]:
            path.write_bytes(pack(header, tensors[:start] + value + tensors[start + len(value) :]))
            with pytest.raises(CodecFileError, match="not finite"):
                CodecFile.load(path)


def test_the_file_that_the_mutants_are_made_of_works(tmp_path):
    path = tmp_path / "c.safetensors"
    path.write_bytes(sound())
    assert used(path) == "worked"
