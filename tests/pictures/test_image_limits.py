"""No picture takes time or memory without bounds, and nobody but us writes about it."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import chunk, png, shape, tiff
from PIL import Image

from featcodec.errors import ImageError
from featcodec.pictures import opening
from featcodec.pictures.loading import load_image, open_picture


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def noise(side: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


# ---- scans of a JPEG


def of_scans(count: int, side: int = 64, *, between: bytes = b"") -> bytes:
    """A progressive JPEG whose last scan stands as often as that takes."""
    file = encoded(Image.new("L", (side, side), 7), "JPEG", progressive=True)
    last = file.rindex(b"\xff\xda")
    there = file.count(b"\xff\xda")
    return file[:-2] + (between + file[last:-2]) * (count - there) + file[-2:]


@pytest.mark.parametrize("between", [b"", b"\xff\xfe\0\4\xff\xda", b"\xff\xff\xff"])
def test_scans_of_a_jpeg_are_counted_before_they_are_decoded(between: bytes, tmp_path: Path) -> None:
    load_image(of_scans(opening.MOST_SCANS, between=between))
    small, large = of_scans(opening.MOST_SCANS + 1, between=between), of_scans(1000, 8192, between=between)
    (tmp_path / "a.jpg").write_bytes(large)
    start = time.process_time()
    for image in (small, large, tmp_path / "a.jpg", Image.open(io.BytesIO(small))):
        for read in (load_image, open_picture):
            with pytest.raises(
                ImageError, match=r"got a JPEG of more than 64 scans, expected at most so many$"
            ):
                read(image)
    assert time.process_time() - start < 10  # decoded, each of the eight takes 3 s and more


def test_thumbnails_and_data_do_not_count_as_scans() -> None:
    picture = noise(200)
    segment = b"\xff\xda" * 1000
    exif = Image.Exif()
    exif[0x010E] = "\u00ff\u00da" * 100
    for options in ({"exif": exif}, {"icc_profile": segment}, {"comment": segment}):
        for progressive in (False, True):
            file = encoded(picture, "JPEG", progressive=progressive, quality=100, **options)
            assert opening._scans(io.BytesIO(file)) == (10 if progressive else 1)
            load_image(file)
    assert opening._scans(io.BytesIO(encoded(picture, "JPEG", restart_marker_blocks=1))) == 1
    two = encoded(picture, "MPO", save_all=True, append_images=[noise(200, seed) for seed in range(70)])
    assert load_image(two)[1].width == 200


def test_scans_are_counted_alike_wherever_blocks_of_reading_end() -> None:
    file = of_scans(20, 640)
    for cut in range(200):
        padded = file[:2] + b"\xff\xfe" + struct.pack(">H", cut + 2) + bytes(cut) + file[2:]
        assert opening._scans(io.BytesIO(padded)) == 20


# ---- parts of a file


MANY = 400_000
GIF = encoded(Image.new("P", (4, 4)), "GIF")
BEHIND = GIF.index(b",")
JPEG = encoded(Image.new("L", (8, 8)), "JPEG")
PARTS = {
    "PNG before": png(1, 1, 8, 0, [b"\0"], chunk(b"teSt") * MANY),
    "PNG data": png(1, 1, 8, 0, [b"\0"], chunk(b"IDAT") * MANY),
    "PNG behind": png(1, 1, 8, 0, [b"\0"])[:-12] + chunk(b"teSt") * MANY + chunk(b"IEND"),
    "JPEG": JPEG[:2] + b"\xff\xe5\0\2" * MANY + JPEG[2:],
    "JPEG scans": JPEG[:-2] + b"\xff\xe5\0\2" * MANY + JPEG[-2:],
    "GIF comments": GIF[:BEHIND] + b"!\xfe\1a\0" * MANY + GIF[BEHIND:],
    "GIF comment": GIF[:BEHIND] + b"!\xfe" + b"\1a" * MANY + b"\0" + GIF[BEHIND:],
}


@pytest.mark.parametrize("kind", PARTS)
def test_a_file_of_very_many_parts_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "many"
    path.write_bytes(PARTS[kind])
    for image, name in ((PARTS[kind], "<bytes>"), (path, str(path))):
        with pytest.raises(ImageError) as caught:
            load_image(image)
        assert str(caught.value) == f"{name}: got a file of too many small parts, expected a picture"


@pytest.mark.parametrize(
    "kind", ["QOI", "PPM", "PNG", "TIFF", "TGA", "SGI", "BLP", "XBM", "MSP", "ICNS", "DDS"]
)
def test_large_noise_of_any_kind_does_not_have_too_many_parts(kind: str) -> None:
    mode = {"BLP": "P", "XBM": "1", "MSP": "1"}.get(kind, "RGB")
    file = encoded(noise(600).convert(mode), kind)
    assert load_image(file, size=100)[1].width in (600, 1024)  # of icons the largest


def test_a_tiff_of_one_strip_a_row_does_not_have_too_many_parts() -> None:
    rows = [bytes([row % 256]) for row in range(65000)]
    assert load_image(tiff("<", rows, {**shape(1, 65000, [8], 1), 278: ("H", [1])}))[1].height == 65000


# ---- few bytes of many pixels


def run_lengths(side: int) -> bytes:
    """A BMP of one colour."""
    data = (b"\xff\x07" * (side // 255) + bytes([side % 255, 7]) + b"\0\0") * side + b"\0\1"
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(data), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1078 + len(data), 0, 0, 1078) + header + bytes(1024) + data


def test_run_lengths_that_are_decoded_in_python_are_bounded() -> None:
    load_image(run_lengths(1000))
    with pytest.raises(
        ImageError, match="got 4097 x 4097 pixels, compressed, in a BMP file, which takes long"
    ):
        load_image(run_lengths(4097))
    raw = encoded(Image.new("L", (4097, 4097)), "BMP")
    assert load_image(raw, size=32)[1].width == 4097


def test_a_tile_larger_than_the_picture_may_be_is_refused() -> None:
    def of_tile(side: int) -> bytes:
        tags = {**shape(1, 1, [8], 1, 8), 322: ("I", [side]), 323: ("I", [side])}
        return tiff("<", [zlib.compress(bytes(side * side))], tags, tiled=True)

    assert load_image(of_tile(1024), max_pixels=1)[1].width == 1
    with pytest.raises(ImageError, match="got tiles of 1040 x 1040 pixels, expected at most 100"):
        load_image(of_tile(1040), max_pixels=100)


def test_an_icon_that_is_larger_than_it_says_is_refused() -> None:
    picture = encoded(Image.new("L", (2000, 1000)), "PNG")
    icon = struct.pack("<HHHBBBBHHII", 0, 1, 1, 64, 64, 0, 0, 1, 32, len(picture), 22) + picture
    with pytest.raises(ImageError, match="got 2000 x 1000 pixels, expected at most 1000000"):
        load_image(icon, max_pixels=10**6)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's memory counters")
@pytest.mark.parametrize(("kind", "mode", "most"), [("GIF", "P", 2), ("PNG", "P", 2), ("PNG", "RGBA", 5)])
def test_converting_a_large_picture_takes_little_memory(kind: str, mode: str, most: int) -> None:
    def kilobytes(counter: str) -> int:
        return int(re.findall(rf"{counter}:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])

    side = 6000
    file = encoded(Image.new(mode, (side, side)), kind, **({"transparency": 0} if mode == "P" else {}))
    load_image(encoded(Image.new(mode, (64, 64)), kind))  # what is imported and allocated once
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    except OSError:
        pytest.skip("may not reset the memory peak here")
    before = kilobytes("VmRSS")
    load_image(file)
    assert (
        1024 * (kilobytes("VmHWM") - before) < most * side * side
    )  # bytes a pixel; all at once took 9 and 12


# ---- nobody else writes


def damaged_tiff() -> bytes:
    file = bytearray(encoded(noise(64), "TIFF", compression="tiff_lzw"))
    file[200:260] = b"\xff" * 60
    return bytes(file)


def metadata_tiff() -> bytes:
    """A TIFF of which Pillow warns and which it cannot read."""
    return tiff("<", [b"\0"], {**shape(1, 1, [8], 1), 256: ("H", [1, 1]), 306: ("I", [7, 7, 7])})


def samples_tiff() -> bytes:
    """A TIFF that Pillow logs an error of."""
    return tiff("<", [b"\0"], {**shape(1, 1, [8], 1), 277: ("H", [5000])})


@pytest.mark.parametrize("make", [damaged_tiff, metadata_tiff, samples_tiff])
def test_the_program_writes_one_line_about_a_damaged_tiff(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(make())
    command = [sys.executable, "-m", "featcodec", "encode", str(path), "-o", str(tmp_path / "a.plf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stderr.count("\n") <= 1, done.stderr
    assert done.stderr.startswith(f"featcodec: {path}: " if done.returncode else ""), done.stderr
    assert done.returncode == (make is not metadata_tiff)


QUIET = """
import os, sys, threading
from featcodec.errors import ImageError
from featcodec.pictures.loading import load_image
from featcodec.pictures.opening import quiet
data = open(sys.argv[1], "rb").read()
done = threading.Event()
def write():
    for line in range(2000):
        os.write(2, b"ours %d\\n" % line)
    done.set()
def read():
    while not done.is_set():
        try:
            load_image(data)
        except ImageError:
            pass
threads = [threading.Thread(target=work) for work in (write, read, read, read)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@pytest.mark.skipif(not opening._setters(), reason="Pillow hides its libtiff here")
def test_threads_that_read_damaged_tiffs_lose_no_line_of_others(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(damaged_tiff())
    command = [sys.executable, "-c", QUIET, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0
    assert done.stderr == "".join(f"ours {line}\n" for line in range(2000))


@pytest.mark.skipif(not opening._setters(), reason="Pillow hides its libtiff here")
def test_libtiff_speaks_again_to_others_when_we_are_done() -> None:
    def handler() -> int | None:
        setter = opening._setters()[0]
        found = setter(None)
        setter(found)
        return found

    before = handler()
    assert before is not None
    barrier = threading.Barrier(4)

    def work() -> None:
        with opening.quiet:
            barrier.wait()
            with opening.quiet:
                assert handler() is None
            barrier.wait()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(ImageError):
        load_image(damaged_tiff())
    assert handler() == before
