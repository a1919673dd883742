"""Files made to cost much are refused early, by name; other networks and their weights are told in words."""

from __future__ import annotations

import json
import struct
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save as safetensors_bytes
from test_feature_codec import SIZE, WIDTHS, coder, network, sample, small
from test_weights import refused, saved, with_pickle
from torch import nn

import featcodec
from featcodec.codec import symbol_codec
from featcodec.codec.codec_file import CodecFile, network_of
from featcodec.codec.decode_memory import decode_bytes
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.codec.transforms import Widths
from featcodec.errors import CodecFileError, InputError, LimitError
from featcodec.networks.by_name import network_by_name
from featcodec.networks.pickle_records import MAX_OPCODES
from featcodec.networks.safetensors_header import MAX_HEADER, MAX_TENSORS
from featcodec.networks.weight_files import load_weights
from featcodec.networks.yolov5 import YOLOv5
from featcodec.networks.yolov5_weights import yolov5_from
from featcodec.plf.bitstream import DEFAULT_LIMITS, Limits

Header = dict[str, Any]

PATIENCE = 10  # seconds of the processor, on however busy a machine; unbounded, these files took minutes


def parts() -> tuple[Header, bytes]:
    data = small(embed_network=True).to_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def refuses(path: Path, header: Header | bytes, body: bytes, match: str) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    start = time.process_time()
    with pytest.raises(CodecFileError, match=match) as caught:
        CodecFile.load(path)
    assert time.process_time() - start < PATIENCE
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600 + len(str(path))


class TestHeaders:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "c.safetensors"

    def test_a_header_beyond_the_limit_is_not_parsed(self, path):
        header, body = parts()
        header["__metadata__"] |= {str(i): "" for i in range(200_000)}
        refuses(path, header, body, rf"header: got [\d,]+ bytes, expected at most {MAX_HEADER:,}")

    def test_so_are_more_tensors_than_a_network_has(self, path):
        header, body = parts()
        at = len(body)
        header |= {
            f"{i}": {"dtype": "F16", "shape": [0], "data_offsets": [at, at]} for i in range(MAX_TENSORS)
        }
        refuses(path, header, body, rf"got 10,\d+ tensors, expected at most {MAX_TENSORS:,}")

    def test_a_tensor_listed_twice_is_refused(self, path):
        header, body = parts()
        again = json.dumps({"g_a.mean": header["g_a.mean"]}).encode()
        refuses(path, json.dumps(header).encode()[:-1] + b"," + again[1:], body, "key 'g_a.mean' twice")

    def test_metadata_has_one_key(self, path):
        header, body = parts()
        header["__metadata__"]["more"] = ""
        refuses(path, header, body, "metadata: got featcodec, more, expected featcodec alone")
        del header["__metadata__"]["more"], header["__metadata__"]["featcodec"]
        refuses(path, header, body, "metadata: got none")

    @pytest.mark.parametrize("dtype", ["C64", "F64", "BOOL", "F8_E4M3", "x" * 9999, 7, None, ["F16"]])
    def test_dtypes_are_those_of_the_format(self, path, dtype):
        header, body = parts()
        header["network.model.0.conv.weight"]["dtype"] = dtype
        refuses(path, header, body, r"network\.model\.0\.conv\.weight: got dtype .*, expected one of F16")

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            ({"shape": [2**40]}, "expected 2,199,023,255,552 for F16"),
            ({"shape": [2**53, 2**53]}, "a header at|expected a shape|integer"),
            ({"shape": [1] * 17}, "expected a shape"),
            ({"shape": [-1]}, "expected a shape"),
            ({"shape": [64.0]}, "expected a shape"),
            ({"shape": "64"}, "expected a shape"),
            ({"data_offsets": [0]}, "expected two data_offsets"),
            ({"data_offsets": [128, 0]}, "got -128 bytes"),
            ({"more": 1}, "expected an object with data_offsets, dtype, shape"),
        ],
    )
    def test_entries_say_what_a_tensor_can_be(self, path, change, match):
        header, body = parts()
        header["g_s.mean"] |= change
        refuses(path, header, body, match)

    def test_tensors_fill_the_file_without_gaps_and_overlaps(self, path):
        header, body = parts()
        refuses(path, header, body + b"\0", "a gap or an overlap")
        start, end = header["g_s.mean"]["data_offsets"]
        header["g_s.mean"]["data_offsets"] = [start - 2, end - 2]
        refuses(path, header, body, "a gap or an overlap")

    @pytest.mark.parametrize(
        "text", [b"[[]," * 200_000, b'{"' + b'\\"' * 300_000, b'{"":' * 200_000, b"9" * 10**6]
    )
    def test_a_header_of_brackets_quotes_or_digits_is_read_in_time(self, path, text):
        refuses(path, text, b"", "expected a featcodec codec file, got header at offset")

    def test_weight_files_have_the_same_bounds(self, tmp_path):
        empty = {str(i): torch.zeros(0) for i in range(MAX_TENSORS + 1)}
        refused(tmp_path, safetensors_bytes(empty), "damaged safetensors file: header: got 10,001 tensors")


class TestMemory:
    def test_what_a_decode_would_take_is_checked_before_it_is_taken(self, monkeypatch):
        c, data = coder(), sample()
        needed = decode_bytes(WIDTHS, SIZE // 16, SIZE // 16)
        assert c.decode(data, limits=Limits(max_memory=needed)).shape[1] == 64
        monkeypatch.setattr(symbol_codec, "SymbolDecoder", None)
        with pytest.raises(
            LimitError, match=rf"would take {needed:,} bytes of memory, expected at most {needed - 1:,}"
        ):
            c.decode(data, limits=Limits(max_memory=needed - 1))

    def test_wide_codecs_cannot_ask_for_gigabytes(self):
        """The largest file that a reader takes, and a codec of 65,536 latents: 8 GB were asked for."""
        for name in featcodec.zoo.names():
            embedded = featcodec.zoo.decoder(name).file.config.widths
            assert decode_bytes(embedded, 64, 128) < DEFAULT_LIMITS.max_memory / 2
        for name in ("features", "latents", "side", "synthesis", "hyper"):
            assert decode_bytes(replace(Widths(64), **{name: 65_536}), 64, 128) > DEFAULT_LIMITS.max_memory

    def test_so_is_what_the_scores_of_many_classes_would_take(self):
        features = coder().decode(sample())
        with pytest.raises(LimitError, match=r"567 candidate boxes of 2 classes: would take 95,256 bytes"):
            coder().detect(features, limits=Limits(max_memory=95_255))
        assert coder().detect(features, limits=Limits(max_memory=95_256)) is not None


class TestWhichNetwork:
    def test_a_mismatch_says_what_was_given_and_what_is_wanted(self):
        file = small()
        wanted = r"expected yolov5n of 2 classes with the weights it was fitted to, cut after layer 4"
        torch.manual_seed(3)
        trained = YOLOv5("n", classes=2).eval()
        for module in trained.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.add_(0.1)
        for given, got in [
            (YOLOv5("n", classes=80), "yolov5n of 80 classes with random weights"),
            (YOLOv5("s", classes=2), "yolov5s of 2 classes with random weights"),
            (trained, "yolov5n of 2 classes with other weights"),
            (YOLOv5("n", classes=2).eval().fuse(), "yolov5n of 2 classes, fused"),
            (nn.Linear(3, 2), "Linear of 8 parameters"),
        ]:
            with pytest.raises(
                CodecFileError, match=rf"'small-0': got {got}, {wanted}.*\(digest \w+, expected \w+\)"
            ):
                network_of(file, given)

    @pytest.mark.parametrize("given", [7, object()])
    def test_what_is_no_network_is_an_input_error(self, given):
        with pytest.raises(InputError, match=r"network: got \w+, expected a whole torch.nn.Module: yolov5n"):
            network_of(small(), given)

    def test_without_it_a_codec_says_which_one_and_how(self):
        c = FeatureCodec(small(), None)
        for use in (lambda: c.encode(torch.zeros(3, 64, 64)), lambda: c.detect(sample())):
            with pytest.raises(InputError, match=r"yolov5n of 2 classes .*--network"):
                use()


# opcodes that one byte or two make, over and over
FLOODS = {
    "nested tuples": b")" + b"\x85" * 2**21,
    "dictionaries": b"}" * 2**21,
    "marks": b"(" * 2**21,
    "memo": b"]" + b"\x94" * 2**21,
    "memo at numbers": b"]" + b"r\1\2\3\4" * 800_000,
    "calls": b"cos\nsystem\nq\0" + b"h\0)R0" * 800_000,
}


class TestPickles:
    @pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
    def test_work_is_bounded_by_opcodes(self, tmp_path, flood):
        refused(tmp_path, with_pickle(b"\x80\x02" + flood + b"."), f"more opcodes than the {MAX_OPCODES:,}")

    def test_long_names_that_the_memo_repeats_are_not_copied(self, tmp_path):
        text = b"X" + struct.pack("<I", 2**20) + b"x" * 2**20 + b"q\0"
        start = time.process_time()
        refused(
            tmp_path,
            with_pickle(b"\x80\x02" + text + b"h\0\x93q\1" + b"h\1)R" * 50_000 + b"."),
            "a global of",
        )
        kind = b"X\7\0\0\0storagectorch\nFloatStorage\n"
        refused(tmp_path, with_pickle(b"\x80\x02(" + kind + text + b"h\0K\6tQ."), "a persistent id")
        assert time.process_time() - start < PATIENCE

    @pytest.mark.parametrize(
        "value",
        [b"\x8b" + struct.pack("<I", 2**21) + b"\x7f" * 2**21, b"(" + (b"\x8a\xff" + b"\x7f" * 255) * 8000],
    )
    def test_long_integers_are_no_work(self, tmp_path, value):
        start = time.process_time()
        refused(tmp_path, with_pickle(b"\x80\x02" + value + b"."), "no weights|damaged")
        assert time.process_time() - start < PATIENCE


class TestWrappedNames:
    @pytest.mark.parametrize(
        "prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "model.module.model."]
    )
    def test_what_stands_before_all_names_is_taken_off(self, tmp_path, prefix):
        path, state = tmp_path / "net.pt", network().state_dict()
        path.write_bytes(saved({prefix + k: v for k, v in state.items()}))
        assert all(torch.equal(v, state[k]) for k, v in yolov5_from(path, names="ab").state_dict().items())
        net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        expected = {k: torch.ones_like(v) for k, v in net.state_dict().items()}
        path.write_bytes(saved({prefix + k: v for k, v in expected.items()}))
        load_weights(net, path, name="net")
        assert all(torch.equal(v, expected[k]) for k, v in net.state_dict().items())

    def test_before_some_names_only_it_is_told(self, tmp_path):
        path, state = tmp_path / "net.pt", network().state_dict()
        names = {f"module.{k}" if "24" not in k else k: v for k, v in state.items()}
        path.write_bytes(saved(names))
        with pytest.raises(
            CodecFileError, match=r"342 of 349 names begin with module\., expected all or none: model"
        ):
            yolov5_from(path)

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            ({"0.bias": None}, "not the weights of net: 0.bias is missing$"),
            ({"0.bias": torch.ones(5)}, r"0\.bias is \(5,\), expected \(4,\)$"),
            (
                {"0.bias": torch.ones(4, dtype=torch.complex64)},
                "0.bias: got dtype C64, expected one of",
            ),
            ({"0.bias": torch.ones(4).int()}, "0.bias is torch.int32, expected torch.float32"),
            ({"module.0.bias": torch.ones(4)}, "module.0.bias is unexpected$"),
        ],
    )
    def test_weights_of_another_network_are_told_by_what_differs(self, tmp_path, change, match):
        net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        state = {k: v for k, v in (net.state_dict() | change).items() if v is not None and "num_b" not in k}
        path = tmp_path / "net.safetensors"
        path.write_bytes(safetensors_bytes(state))
        with pytest.raises(CodecFileError, match=match):
            load_weights(net, path, name="net")


class TestOnesOwnNetwork:
    CODE = """
import sys
from torch import nn
def leave(): sys.exit(0)
def stop(): raise KeyboardInterrupt
def recurse(): return recurse()
class Odd(nn.Module):
    def eval(self): raise SystemExit("no")
class Late(nn.Conv2d):
    def __init__(self): super().__init__(3, 8, 2, 2)
    def forward(self, x): sys.exit(0)
"""

    @pytest.fixture(autouse=True)
    def module(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("own_of_hostile_files.py").write_text(self.CODE)

    @pytest.mark.parametrize(
        ("name", "match"),
        [
            ("sys:exit", "sys:exit: it asked to exit with None, expected it to give a torch.nn.Module"),
            ("own_of_hostile_files:leave", "it asked to exit with 0"),
            ("own_of_hostile_files:recurse", "RecursionError"),
            ("own_of_hostile_files:Odd", "it asked to exit with 'no'"),
        ],
    )
    def test_whatever_its_code_raises_is_an_input_error(self, name, match):
        with pytest.raises(InputError, match=match):
            network_by_name(name)

    def test_an_interrupt_passes(self):
        with pytest.raises(KeyboardInterrupt):
            network_by_name("own_of_hostile_files:stop")

    @pytest.mark.parametrize("name", ["sys:exit", "own_of_hostile_files:Late"])
    def test_the_command_ends_with_1_and_one_line(self, name, capsys):
        assert featcodec.__version__
        from featcodec.commands.main import main

        assert main(["layers", name, "--size", "16"]) == 1
        line = capsys.readouterr().err
        assert "exit with" in line
        assert line.count("\n") == 1
