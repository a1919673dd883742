"""Errors: that they know the file that they are about, and say so once."""

import copy
import pickle

import numpy as np
import pytest
from PIL import Image

import featcodec
from featcodec.commands.main import main
from featcodec.console import about
from featcodec.errors import NO_PATH, ChecksumError, FeatcodecError, InputError, MissingExtraError
from featcodec.files import read_file
from featcodec.inspect.report import load
from featcodec.plf.bitstream import Limits

NOTHING = "No such file or directory"
KINDS = [getattr(featcodec, name) for name in featcodec.__all__ if name.endswith("Error")]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_type_message_and_path_whatever_is_done_to_it(kind):
    error = kind("got 1, expected 2", path="a.plf")
    for same in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(same), same.path, str(same)) == (kind, "a.plf", "a.plf: got 1, expected 2")
    assert (kind("no").path, str(kind("no")), str(kind())) == (None, "no", "")


def test_the_file_is_said_once_and_the_first_to_know_it_is_right():
    for known in (None, NO_PATH):
        with pytest.raises(ChecksumError) as caught, about("b.plf"), about("a.plf"):
            raise ChecksumError("empty", path=known)
        assert (str(caught.value), caught.value.path) == ("a.plf: empty", "a.plf")
        assert caught.value.__cause__ is None


def test_standard_input_and_odd_names_are_shown_as_one_line():
    for path, shown in (("-", "standard input"), ("", "''"), ("a\nb", r"a\nb")):
        with pytest.raises(FeatcodecError) as caught, about(path):
            raise FeatcodecError("empty")
        assert str(caught.value) == f"{shown}: empty"


def test_a_reader_of_files_keeps_the_kind_of_what_is_wrong(tmp_path):
    path = tmp_path / "a.plf"
    path.write_bytes(b"GIF89a")
    with pytest.raises(featcodec.NotPlfError) as caught:
        load(str(path), Limits())
    assert str(caught.value).startswith(f"{path}: magic at offset 0: got ")
    assert caught.value.path == str(path)


def test_a_missing_file_is_an_input_error_with_its_path(tmp_path):
    with pytest.raises(InputError) as caught:
        read_file(tmp_path / "a", 10)
    assert (caught.value.path, str(caught.value)) == (str(tmp_path / "a"), f"{tmp_path / 'a'}: {NOTHING}")


def test_pictures_and_codec_files_know_their_path(tmp_path):
    for read, kind in ((featcodec.encode, featcodec.ImageError), (featcodec.load, featcodec.CodecFileError)):
        path = tmp_path / "a.safetensors"
        path.write_bytes(b"neither the one nor the other")
        with pytest.raises(kind) as caught:
            read(str(path))
        assert caught.value.path == str(path)
        assert str(caught.value).count(str(path)) == 1


def test_a_picture_whose_numbers_are_refused_is_named_once(tmp_path, capsys):
    path = tmp_path / "a.tiff"
    Image.fromarray(np.full((4, 4), 255, np.float32)).save(path)
    for read in (path, str(path), path.read_bytes()):
        with pytest.raises(featcodec.ImageError) as caught:
            featcodec.encode(read)
        assert caught.value.path == (NO_PATH if isinstance(read, bytes) else str(path))
    for command in ("encode", "detect"):
        output = ["-o", str(tmp_path / "a.plf")] if command == "encode" else []
        assert main([command, str(path), *output]) == 1
        error = capsys.readouterr().err
        assert error.count(str(path)) == 1
        assert NO_PATH not in error


def test_commands_show_the_path_once(tmp_path, capsys):
    path = tmp_path / "a.plf"
    path.write_bytes(b"GIF89a")
    assert main(["decode", str(path), "-o", str(tmp_path / "a.npy")]) == 1
    assert capsys.readouterr().err.count(str(path)) == 1


def test_what_misses_an_extra_is_an_import_error_too():
    assert str(MissingExtraError("timm is missing", path="a")) == "a: timm is missing"
    assert isinstance(MissingExtraError("no"), ImportError)
