"""Weights come out as they went in, and nothing in a file is ever executed."""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import random
import re
import struct
import sys
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from featcodec.errors import CodecFileError
from featcodec.networks.weight_files import read_state_dict
from featcodec.networks.yolov5 import YOLOv5
from featcodec.networks.yolov5_weights import yolov5_from

SHARED = Path(os.environ.get("FEATCODEC_SHARED", Path(__file__).parents[3] / "shared"))
WEIGHTS = SHARED / "weights"
needs_weights = pytest.mark.skipif(not WEIGHTS.is_dir(), reason=f"no {WEIGHTS}: set FEATCODEC_SHARED")
not_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
needs_sh = pytest.mark.skipif(os.name != "posix", reason="the payloads are commands for a POSIX shell")


class Net(nn.Module):
    """Nested modules, shared weights, and buffers of which one is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.SiLU())
        self.head = nn.Linear(4, 2)
        self.twin = self.head
        self.empty = None
        self.register_buffer("steps", torch.arange(6).view(2, 3).T)
        self.register_buffer("scratch", torch.ones(5), persistent=False)
        self.register_buffer("nothing", None)
        self.register_parameter("absent", None)


def saved(value: object, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def read(tmp_path: Path, data: bytes) -> dict[str, Tensor]:
    path = tmp_path / "net.pt"
    path.write_bytes(data)
    return read_state_dict(path)


def refused(tmp_path: Path, data: bytes, match: str = ".") -> None:
    with pytest.raises(CodecFileError, match=match) as caught:
        read(tmp_path, data)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'net.pt'}: ")
    assert message.isprintable()
    assert len(message) < 600 + len(str(tmp_path))


def entries_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def zipped(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def with_pickle(program: bytes, storage: bytes = bytes(24)) -> bytes:
    """A checkpoint of six float32 numbers (storage 0) with this pickle."""
    return zipped({"net/data.pkl": program, "net/data/0": storage, "net/version": b"3\n"})


class Fake:
    """Pickles to what a tensor pickles to, with any numbers."""

    def __init__(
        self,
        *,
        size: Any = (2, 3),
        stride: Any = (3, 1),
        offset: Any = 0,
        kind: str = "Float",
        key: Any = "0",
        length: Any = 6,
    ):
        self.layout = (offset, size, stride, False, OrderedDict())
        self.storage = ("storage", getattr(torch, f"{kind}Storage"), key, "cpu", length)

    def __reduce__(self) -> tuple[Any, ...]:
        return torch._utils._rebuild_tensor_v2, (_Id(self.storage), *self.layout)


class _Id:
    def __init__(self, identity: object):
        self.identity = identity


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: object) -> object:
        return value.identity if isinstance(value, _Id) else None


def program(value: object, protocol: int = 2) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream, protocol).dump(value)
    return stream.getvalue()


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[k].dtype == b[k].dtype and torch.equal(a[k], b[k]) for k in a)


class TestRoundTrips:
    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_a_state_dict_comes_back_in_order(self, tmp_path, protocol):
        state = Net().state_dict()
        got = read(tmp_path, saved(state, pickle_protocol=protocol))
        assert same(got, state)
        assert list(got) == list(state)

    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_a_module_gives_what_its_state_dict_would(self, tmp_path, protocol):
        net = Net()
        got = read(tmp_path, saved(net, pickle_protocol=protocol))
        assert same(got, net.state_dict())
        assert list(got) == list(net.state_dict())
        assert "scratch" not in got

    def test_every_dtype_comes_back(self, tmp_path):
        kinds = (torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.bool, torch.uint8)
        kinds += (torch.int8, torch.int16, torch.int32, torch.int64)
        state = {str(kind): torch.tensor([[0, 1], [1, 0]]).to(kind) for kind in kinds}
        assert same(read(tmp_path, saved(state)), state)
        assert same(read(tmp_path, safetensors_bytes(state)), state)

    def test_views_scalars_and_empty_tensors_come_back(self, tmp_path):
        base = torch.arange(24.0)
        state = {"turned": base.view(4, 6).T[1:, ::2], "tail": base[20:], "scalar": torch.tensor(7.0)}
        state |= {"empty": torch.empty(0, 5), "none": torch.empty(0)}
        assert same(read(tmp_path, saved(state)), state)

    def test_what_shares_memory_shares_it_afterwards(self, tmp_path):
        got = read(tmp_path, saved(Net()))
        assert got["head.weight"].data_ptr() == got["twin.weight"].data_ptr()

    @pytest.mark.parametrize("key", ["model", "state_dict"])
    @pytest.mark.parametrize("whole", [True, False])
    def test_weights_are_found_inside_a_training_checkpoint(self, tmp_path, key, whole):
        net = Net()
        held = {"epoch": 3, "optimizer": {"state": {0: torch.ones(2)}}, "ema": None, "names": ["a"]}
        got = read(tmp_path, saved(held | {key: net if whole else net.state_dict()}))
        assert same(got, net.state_dict())

    def test_averaged_weights_go_first(self, tmp_path):
        model, ema = Net(), Net()
        assert same(read(tmp_path, saved({"model": model, "ema": ema})), ema.state_dict())
        assert same(read(tmp_path, saved({"model": model, "ema": None})), model.state_dict())

    def test_the_ending_of_the_name_does_not_matter(self, tmp_path):
        state = Net().state_dict()
        del state["twin.weight"], state["twin.bias"]  # safetensors shares nothing
        state["steps"] = state["steps"].contiguous()
        assert same(read(tmp_path, safetensors_bytes(state)), state)


class TestFiles:
    def test_what_cannot_be_read_is_named(self, tmp_path):
        for path in (tmp_path / "missing.pt", tmp_path, tmp_path / ("n" * 300), f"{tmp_path}/a\0b"):
            with pytest.raises(CodecFileError, match=re.escape(str(tmp_path))):
                read_state_dict(path)

    @not_root
    def test_a_file_without_permission_is_refused(self, tmp_path):
        path = tmp_path / "net.pt"
        path.write_bytes(saved({"a": torch.ones(1)}))
        path.chmod(0)
        with pytest.raises(CodecFileError, match="Permission denied"):
            read_state_dict(path)

    def test_a_file_beyond_the_limit_is_not_read(self, tmp_path):
        path = tmp_path / "net.pt"
        with path.open("wb") as file:
            file.truncate(2**31)
        with pytest.raises(CodecFileError, match="expected at most"):
            read_state_dict(path)

    @pytest.mark.parametrize(
        ("data", "match"),
        [
            (b"", "empty file"),
            (b"\x89PNG\r\n\x1a\n", "begins with 89 50 4e 47"),
            (b"PK\3\4", "damaged zip"),
            (b"PK\3\4" + bytes(100), "damaged zip"),
            (b"\x10\0\0\0\0\0\0\0{", "damaged safetensors"),
            (b"\x02\0\0\0\0\0\0\0{}", "without tensors"),
        ],
    )
    def test_other_files_are_told_apart(self, tmp_path, data, match):
        refused(tmp_path, data, match)

    def test_the_legacy_format_is_refused_with_what_to_do(self, tmp_path):
        data = saved({"a": torch.ones(1)}, _use_new_zipfile_serialization=False)
        refused(tmp_path, data, r"before 1\.6.*convert it with torch\.save\(torch\.load")


# ---- payloads that touch the marker when they are executed


class Call:
    """Pickles to a call."""

    def __init__(self, function: Callable[..., Any], *args: object, state: object = None):
        self.reduced = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def payloads(marker: Path) -> dict[str, bytes]:
    command = f"touch {marker}"
    text = f"open({str(marker)!r}, 'w')"
    line, size = command.encode(), struct.pack("<I", len(command))
    word = b"X" + size + line  # BINUNICODE
    calls = {f"REDUCE, protocol {p}": pickle.dumps(Call(os.system, command), p) for p in range(6)}
    return calls | {
        "eval": pickle.dumps(Call(eval, text), 2),
        "exec": pickle.dumps(Call(exec, text), 4),
        "nested": pickle.dumps([{"a": (Call(eval, text),)}], 2),
        "argument of a call": pickle.dumps(Call(list, (Call(eval, text),)), 2),
        "state of an object": pickle.dumps(Call(OrderedDict, state={"a": Call(eval, text)}), 2),
        "INST": b"(S'" + line + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\n" + word + b"o.",
        "NEWOBJ": b"\x80\x02cfeatcodec_trap\nboom\n)\x81.",
        "NEWOBJ_EX": b"\x80\x04cfeatcodec_trap\nboom\n)}\x92.",
        "STACK_GLOBAL": b"\x80\x04X\2\0\0\0osX\6\0\0\0system\x93" + word + b"\x85R.",
        "EXT1": b"\x80\x02\x82\xf0" + word + b"\x85R.",
        "memo": b"\x80\x02cos\nsystem\nq\1" + word + b"\x85q\2" + b"0h\1h\2R.",
        "import alone": b"\x80\x02cfeatcodec_trap\nboom\n.",
        "slots of a class": b"\x80\x02cfeatcodec_trap\nboom\nN}X\1\0\0\0aK\1s\x86b.",
    }  # fmt: skip


NAMES = list(payloads(Path("marker")))


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """The file that every payload touches: by a command, by Python, or by being imported."""
    path = tmp_path / "executed"
    trap = f"open({str(path)!r}, 'w').close()\nclass boom: pass\n"
    (tmp_path / "featcodec_trap.py").write_text(trap)
    monkeypatch.syspath_prepend(tmp_path)
    copyreg.add_extension("os", "system", 0xF0)
    yield path
    copyreg.remove_extension("os", "system", 0xF0)
    copyreg._extension_cache.pop(0xF0, None)
    sys.modules.pop("featcodec_trap", None)


DEEP = 150_000  # beyond what overflows the C stack of an unpickler that hashes or recurses
GOOD = program({"weight": Fake()})


@needs_sh
class TestHostilePickles:
    @pytest.mark.parametrize("name", NAMES)
    def test_nothing_is_executed(self, tmp_path, marker, name):
        payload = payloads(marker)[name]
        variants = [payload, payload[:-1] + b"0" + GOOD, GOOD[:-1] + payload]
        variants += [payload[:-1] + end for end in (b"Q.", b"}b.", b")R.", b")\x81.", b"K\1K\1s.", b"\x85R.")]
        for variant in variants:
            try:
                got = read(tmp_path, with_pickle(variant))
            except CodecFileError:
                got = {"weight": torch.zeros(2, 3)}
            assert same(got, {"weight": torch.zeros(2, 3)})
        assert not marker.exists()
        assert "featcodec_trap" not in sys.modules

    @pytest.mark.parametrize("name", NAMES)
    def test_the_payloads_are_live(self, marker, name):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the files that payloads leave open
            pickle.loads(payloads(marker)[name])
        assert marker.exists()

    @pytest.mark.parametrize("place", ["_parameters", "_buffers", "_modules"])
    def test_a_call_in_a_module_is_refused_by_its_name(self, tmp_path, marker, place):
        net = Net()
        getattr(net, place)["evil"] = Call(os.system, f"touch {marker}")  # type: ignore[assignment]
        refused(tmp_path, saved(net), r"evil: got (posix|os)\.system, expected a (tensor|module)")
        assert not marker.exists()

    def test_calls_beside_the_weights_are_passed_over(self, tmp_path, marker):
        net = Net()
        data = saved({"model": net, "args": Call(os.system, f"touch {marker}")})
        assert same(read(tmp_path, data), net.state_dict())
        assert not marker.exists()

    def test_the_names_it_knows_cannot_be_changed(self, tmp_path):
        """BUILD gives attributes to what is on the stack: here to the functions that stand for tensors."""
        known = (b"torch._utils\n_rebuild_tensor_v2", b"collections\nOrderedDict", b"torch\nFloatStorage")
        for name in known:
            tampering = b"\x80\x02c" + name + b"\nN}X\x08\0\0\0__code__K\1s\x86b0"
            assert same(read(tmp_path, with_pickle(tampering + GOOD)), {"weight": torch.zeros(2, 3)})
        net = Net()
        assert same(read(tmp_path, saved(net)), net.state_dict())

    def test_classes_need_not_exist_and_are_not_imported(self, tmp_path):
        data = saved(Net())
        entries = entries_of(data)
        name = next(n for n in entries if n.endswith("/data.pkl"))
        entries[name] = entries[name].replace(f"c{__name__}\nNet\n".encode(), b"cno.such.module\nModel\n")
        assert b"no.such.module" in entries[name]
        assert same(read(tmp_path, zipped(entries)), read(tmp_path, data))


class TestHostileShapes:
    """Files whose records lie about sizes, or that would overflow a stack, a memory or a day."""

    def test_an_honest_record_is_read(self, tmp_path):
        numbers = torch.arange(6.0)
        got = read(tmp_path, with_pickle(GOOD, numbers.numpy().tobytes()))
        assert same(got, {"weight": numbers.view(2, 3)})

    @pytest.mark.parametrize(
        "fake",
        [
            Fake(size=(2, 4), stride=(4, 1)),
            Fake(offset=1),
            Fake(offset=-1),
            Fake(offset=2**70),
            Fake(size=(2, -3)),
            Fake(stride=(-3, 1)),
            Fake(stride=(6, 1)),
            Fake(stride=(1,)),
            Fake(size=(2**40,), stride=(0,)),
            Fake(size=(2**63,), stride=(0,)),
            Fake(size=(10**4000,), stride=(0,)),
            Fake(size=(0, 2**61, 2**61), stride=(1, 1, 1)),
            Fake(size=(1,) * 17, stride=(1,) * 17),
            Fake(size=(2.0, 3)),
            Fake(size=("2", 3)),
            Fake(size=[2, 3]),
            Fake(size=None),
            Fake(length=7),
            Fake(length=-1, kind="Byte", key="1"),
            Fake(length=10**4000),
            Fake(length=2.5),
            Fake(kind="Double"),
            Fake(kind="ComplexFloat", length=3),
            Fake(key="1"),
            Fake(key="../data.pkl"),
            Fake(key=0),
        ],
        ids=lambda fake: str((*fake.layout[:3], *fake.storage[2:]))[:60],
    )
    def test_a_record_beyond_its_storage_is_refused(self, tmp_path, fake):
        refused(
            tmp_path,
            with_pickle(program({"weight": fake, "other": Fake()})),
            "^[^ ]*: (weight: |damaged pickle: )",
        )

    def test_many_views_of_one_storage_take_no_memory(self, tmp_path):
        numbers = torch.zeros(250_000)
        state = {f"t{i}": numbers for i in range(4000)}  # 4 GB if each were a copy
        got = read(tmp_path, saved(state))
        assert len({t.data_ptr() for t in got.values()}) == 1

    @pytest.mark.parametrize(
        "body",
        [b")" + b"\x85" * DEEP, b"]" * DEEP + b"a" * (DEEP - 1), b"}" + b")\x81" * DEEP,
         b"(" * DEEP, b"}(" + b")" + b"\x85" * DEEP + b"K\1u", b"cos\nsystem\n" + b")R" * DEEP],
        ids=["tuples", "lists", "objects", "marks", "a key", "calls"],
    )  # fmt: skip
    def test_depth_overflows_nothing(self, tmp_path, body):
        refused(tmp_path, with_pickle(b"\x80\x02" + body + b"."))

    def test_a_module_that_holds_itself_is_refused(self, tmp_path):
        net = Net()
        net._modules["again"] = net
        refused(tmp_path, saved(net), "again.again.*distinct names")
        net = nn.Sequential()
        net._modules["again"] = net
        refused(tmp_path, saved(net), "cycle")

    def test_a_tree_that_doubles_at_each_level_is_refused(self, tmp_path):
        net: nn.Module = nn.Linear(1, 1)
        for _ in range(60):
            net = nn.Sequential(net, net)
        refused(tmp_path, saved(net), "cycle")

    def test_lists_and_dictionaries_that_hold_themselves_are_no_trouble(self, tmp_path):
        loop: dict[str, Any] = {"list": []}
        loop["list"].append(loop)
        loop["model"] = loop["state_dict"] = loop
        refused(tmp_path, saved(loop), "no weights")
        loop["weight"] = torch.ones(2)
        refused(tmp_path, saved(loop), "list: got list, expected a tensor")

    def test_names_that_would_collide_are_refused(self, tmp_path):
        net, inner = nn.Module(), nn.Module()
        inner.w = nn.Parameter(torch.ones(1))
        net._parameters["a.w"] = nn.Parameter(torch.zeros(1))
        net._modules["a"] = inner
        refused(tmp_path, saved(net), r"a\.w: .*distinct")

    @pytest.mark.parametrize(
        "data",
        [
            *(b"", b".", b"0.", b"R.", b"u.", b"a.", b"s.", b"b.", b"Q.", b"1.", b"q\1.", b"h\7.", b"P1\n."),
            *(b"\x85.", b"\x93.", b"\x97.", b"N", b"cos\nsystem", b"(K\1u.", b"}(K\1u.", b"K\1K\2\x86Q."),
            *(b"K\1K\2\x93.", b"c\xff\n\xff\n.", b"S'\\q'\n.", b"V\\ud800\n.", b"X\1\0\0\0\xff."),
            *(b"r\xff\xff\xff\xff.", b"]r\xff\xff\xff\xff.", b"\x8b\xff\xff\xff\x7f.", b"\x8b\0\0\0\x80."),
            *(b"\x96" + b"\xff" * 7 + b"\x7f.", b"\x95" + b"\xff" * 8 + b".", b"\x8d" + b"\xff" * 8),
            b"I" + b"9" * 10**6 + b"\n.",
        ],
    )  # fmt: skip
    def test_damaged_programs_are_refused(self, tmp_path, data):
        refused(tmp_path, with_pickle(data), "pickle|no weights")

    def test_a_pickle_beyond_the_limit_is_not_interpreted(self, tmp_path):
        refused(tmp_path, with_pickle(b"\x80\x02" + b"N" * 2**22 + b"."), "data.pkl: got 4,194,307 bytes")

    def test_messages_show_no_control_characters_and_little_of_long_names(self, tmp_path):
        refused(
            tmp_path, saved({"\x1b[31m\n" + "n" * 10_000: 1, "b": torch.ones(1)}), r"\\x1b\[31m\\nnn.*\.\.\."
        )


class TestHostileZips:
    def entries(self) -> dict[str, bytes]:
        return {"net/data.pkl": GOOD, "net/data/0": bytes(24)}

    def test_compressed_entries_are_refused(self, tmp_path):
        refused(tmp_path, zipped(self.entries(), zipfile.ZIP_DEFLATED), "is compressed")

    def test_entries_that_claim_more_than_the_file_has_are_refused(self, tmp_path):
        data = bytearray(zipped(self.entries()))
        at = data.rindex(b"PK\1\2")
        data[at + 20 : at + 28] = struct.pack("<II", 10**6, 10**6)
        refused(tmp_path, bytes(data), "entries claim 1,0")

    def test_entries_that_overlap_are_refused(self, tmp_path):
        data = zipped({f"net/data/{i:02}": bytes(1000) for i in range(20)})
        first, rest = data.index(b"PK\1\2"), data.rindex(b"PK\5\6")
        directory = re.sub(rb"(?s)(PK\x01\x02.{38})....", rb"\g<1>\0\0\0\0", data[first:rest])
        body = data[:1040]
        end = data[rest : rest + 12] + struct.pack("<IIH", len(directory), len(body), 0)
        refused(tmp_path, body + directory + end, "entries claim 20,000")

    def test_names_that_repeat_are_refused(self, tmp_path):
        data = zipped(self.entries() | {"net/data/1": bytes(24)})
        refused(tmp_path, data.replace(b"net/data/1", b"net/data/0"), "share names")

    def test_a_directory_of_a_million_entries_is_not_listed(self, tmp_path):
        refused(tmp_path, zipped(self.entries()) + b"PK\1\2" * 10**6, "more than 50,000 entries")

    def test_encrypted_entries_are_refused(self, tmp_path):
        data = zipped(self.entries()).replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0")
        refused(tmp_path, data, "damaged zip")

    def test_a_wrong_checksum_is_refused(self, tmp_path):
        data = zipped(self.entries() | {"net/data/0": b"floats, as it seems, six"})
        refused(tmp_path, data.replace(b"floats", b"FLOATS"), "Bad CRC")

    @pytest.mark.parametrize("names", [[], ["data.pkl"], ["a/data.pkl", "b/data.pkl"], ["a/b/data.pkl"]])
    def test_there_is_one_pickle_where_pytorch_puts_it(self, tmp_path, names):
        refused(tmp_path, zipped(dict.fromkeys([*names, "other"], GOOD)), "expected one")

    def test_the_byte_order_is_that_of_this_machine(self, tmp_path):
        other = {"little": b"big", "big": b"little"}[sys.byteorder]
        refused(tmp_path, zipped(self.entries() | {"net/byteorder": other}), "byte order: got")
        assert read(tmp_path, zipped(self.entries() | {"net/byteorder": sys.byteorder.encode()}))


class TestMutations:
    """Seeded damage: whatever loads, loads; the rest is one kind of error."""

    def mutants(self, data: bytes, count: int, seed: int):
        rng = random.Random(seed)
        for _ in range(count):
            mutant = bytearray(data)
            for _ in range(rng.choice((1, 1, 2, 8))):
                at = rng.randrange(len(mutant))
                match rng.randrange(4):
                    case 0:
                        mutant[at] ^= 1 << rng.randrange(8)
                    case 1:
                        mutant[at] = rng.choice(
                            b"\0\xff.()0}]QRbcos\x81\x85\x93" + bytes([rng.randrange(256)])
                        )
                    case 2:
                        del mutant[at : at + rng.randrange(1, 9)]
                    case 3:
                        mutant[at:at] = mutant[rng.randrange(len(mutant)) :][: rng.randrange(1, 40)]
            yield bytes(mutant)

    def try_all(self, tmp_path: Path, mutants: Any) -> int:
        loaded = 0
        for mutant in mutants:
            try:
                for tensor in read(tmp_path, mutant).values():
                    tensor.sum()  # reads every number that the record lays claim to
                loaded += 1
            except CodecFileError:
                continue
        return loaded

    def small(self) -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))

    def test_of_a_whole_checkpoint(self, tmp_path):
        self.try_all(tmp_path, self.mutants(saved(self.small()), 200, seed=1))

    @pytest.mark.parametrize("protocol", [2, 4])
    @pytest.mark.parametrize("whole", [True, False])
    def test_of_its_pickle_with_sound_checksums(self, tmp_path, protocol, whole):
        net = self.small()
        entries = entries_of(saved(net if whole else net.state_dict(), pickle_protocol=protocol))
        name = next(n for n in entries if n.endswith("/data.pkl"))
        mutants = self.mutants(entries[name], 100, seed=protocol)
        loaded = self.try_all(tmp_path, (zipped(entries | {name: m}) for m in mutants))
        assert 0 < loaded < 100

    def test_of_a_safetensors_file(self, tmp_path):
        self.try_all(tmp_path, self.mutants(safetensors_bytes(self.small().state_dict()), 200, seed=3))

    def test_truncation_at_any_place(self, tmp_path):
        for data in (saved(self.small()), safetensors_bytes(self.small().state_dict())):
            for length in range(0, len(data), 1 + len(data) // 50):
                refused(tmp_path, data[:length])


# ---- the network


@pytest.fixture(scope="module")
def network() -> YOLOv5:
    torch.manual_seed(0)
    return YOLOv5("n", classes=3).half().eval()


def build(tmp_path: Path, data: bytes, **options: Any) -> YOLOv5:
    path = tmp_path / "yolo"
    path.write_bytes(data)
    return yolov5_from(path, **options)


def matches(a: YOLOv5, b: YOLOv5) -> bool:
    return same(
        a.state_dict(), {k: v.float() if v.is_floating_point() else v for k, v in b.state_dict().items()}
    )


class TestYolov5:
    @pytest.mark.parametrize(
        "pack",
        [
            lambda net: safetensors_bytes(net.state_dict()),
            lambda net: saved(net.state_dict()),
            lambda net: saved(net),
            lambda net: saved({"ema": net, "model": nn.Linear(1, 1)}),
            lambda net: saved({"ema": None, "model": net.state_dict()}),
        ],
        ids=["safetensors", "state dict", "module", "ema", "model"],
    )
    def test_every_kind_of_file_gives_the_same_network(self, tmp_path, network, pack):
        got = build(tmp_path, pack(network))
        assert (got.scale, got.classes, got.training) == ("n", 3, False)
        assert matches(got, network)
        x = torch.rand(1, 3, 32, 64)
        with torch.no_grad():
            for a, b in zip(got(x), network.float()(x), strict=True):
                assert torch.equal(a, b)
        network.half()

    def test_it_can_be_trained_and_shares_no_memory(self, tmp_path, network):
        got = build(tmp_path, saved(network))
        assert all(p.requires_grad and p.is_contiguous() for p in got.parameters())
        assert len({t.data_ptr() for t in got.state_dict().values()}) == len(got.state_dict())

    def test_the_random_numbers_of_the_caller_stay_as_they_are(self, tmp_path, network):
        before = torch.get_rng_state()
        build(tmp_path, saved(network.state_dict()))
        assert torch.equal(torch.get_rng_state(), before)

    def test_counts_of_training_steps_may_be_missing(self, tmp_path, network):
        state = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
        got = build(tmp_path, safetensors_bytes(state))
        assert got.state_dict()["model.0.bn.num_batches_tracked"].equal(torch.tensor(0))

    def test_the_anchor_grid_of_older_releases_is_passed_over(self, tmp_path, network):
        state = network.state_dict() | {"model.24.anchor_grid": torch.ones(3, 1, 3, 1, 1, 2)}
        assert matches(build(tmp_path, saved(state)), network)

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            ({"model.9.cv1.conv.weight": None}, r"YOLOv5n: model\.9\.cv1\.conv\.weight is missing$"),
            ({"extra": torch.ones(1)}, r"YOLOv5n: extra is unexpected$"),
            ({"model.0.bn.bias": torch.ones(17)}, r"model\.0\.bn\.bias is \(17,\), expected \(16,\)$"),
            ({"model.0.bn.bias": torch.ones(16).int()}, r"is torch\.int32, expected torch\.float32$"),
            ({"model.0.bn.num_batches_tracked": torch.tensor(0.5)}, "is torch.float32, expected torch.int"),
            ({f"extra{i}": torch.ones(1) for i in range(9)}, r"extra0 .*; extra1 .*; extra2 .* and 6 more$"),
            ({"model.24.m.0.bias": torch.ones(27)}, r"model\.24\.m\.0\.weight is .* and 2 more$"),
            ({"model.24.m.0.bias": torch.ones(25)}, r"got 25 numbers, expected 3 x \(5 \+ classes\)$"),
            ({"model.24.m.0.bias": torch.ones(15)}, "got 15 numbers"),
            ({"model.24.m.0.bias": torch.ones(3_000_000)}, "model.24.m.0.weight is"),
            ({"model.24.m.0.bias": None}, r"no model\.24\.m\.0\.bias"),
            ({"model.0.conv.weight": None}, r"no model\.0\.conv\.weight"),
            ({"model.0.conv.weight": torch.ones(48, 3, 6, 6)}, "not the weights of YOLOv5m: .* more$"),
            ({"model.0.conv.weight": torch.ones(64, 3, 6, 6)}, "not the weights of YOLOv5l: .* more$"),
            ({"model.0.conv.weight": torch.ones(80, 3, 6, 6)}, "not the weights of YOLOv5x: .* more$"),
            ({"model.0.conv.weight": torch.ones(33, 3, 6, 6)}, r"got 33 channels, expected one of 16 "),
            ({"model.0.conv.weight": torch.tensor(1.0)}, "got 0 channels"),
        ],
    )  # fmt: skip
    def test_other_weights_are_refused_with_what_differs(self, tmp_path, network, change, match):
        state = {k: v for k, v in (network.state_dict() | change).items() if v is not None}
        with pytest.raises(CodecFileError, match=match) as caught:
            build(tmp_path, saved(state))
        assert str(caught.value).startswith(f"{tmp_path / 'yolo'}: ")

    def test_names_are_as_many_as_classes(self, tmp_path, network):
        data = saved(network.state_dict())
        assert build(tmp_path, data, names=["car", "bus", "person"]).classes == 3
        with pytest.raises(CodecFileError, match="weights for 3 classes, expected 2"):
            build(tmp_path, data, names=["car", "bus"])


@needs_weights
class TestPublishedWeights:
    @pytest.mark.parametrize(
        ("file", "scale"),
        [("yolov5n-v6.safetensors", "n"), ("yolov5s-v6.safetensors", "s"), ("yolov5n-v6.1.pt", "n")],
    )
    def test_they_load_and_give_finite_outputs(self, file, scale):
        net = yolov5_from(WEIGHTS / file)
        assert (net.scale, net.classes) == (scale, 80)
        with torch.no_grad():
            outputs = net(torch.rand(1, 3, 64, 96))
            rows = net.detect.decode(outputs)
        assert [tuple(out.shape[1:4]) for out in outputs] == [(3, 8, 12), (3, 4, 6), (3, 2, 3)]
        assert rows.isfinite().all()

    def test_the_checkpoint_holds_what_the_safetensors_file_holds(self):
        a = read_state_dict(WEIGHTS / "yolov5n-v6.1.pt")
        assert same(a, read_state_dict(WEIGHTS / "yolov5n-v6.safetensors"))
        assert not any(name.split(".")[0] in ("models", "utils") for name in sys.modules)
