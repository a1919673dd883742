"""The ``plf`` command: what it prints, where, and with which exit code."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from featcodec.commands.plf import main
from featcodec.plf.bitstream import MAGIC, Bitstream, serialize
from featcodec.plf.header import Header

HEADER = Header(bytes(range(16)), "my-detector", 80, 4000, 3000, 640, 40, 40, bytes.fromhex("deadbeef"))
COMMANDS = ("info", "verify", "map", "dump", "diff", "conformance")
METADATA = {"camera": "Nordstraße\x1b[31m\u202e", "place": [47.5, 19, None]}
TEXT = r"""{path}
  file        4,223 bytes, .plf version 1
  codec       my-detector
  fingerprint 000102030405060708090a0b0c0d0e0f
  quality     3.5
  picture     4000 x 3000
  scaled to   640 (longest side)
  latents     40 x 40 (rows x columns)
  rate        0.002815 bits per pixel (whole file, original picture)
  symbol hash deadbeef

  section         offset      length    share
  - magic              0           7     0.2%
  H header             7          41     1.1%
  m metadata          54          60     1.6%
  D payload          120       4,096    97.2%

  metadata
    camera: "Nordstraße\u001b[31m\u202e"
    place: [47.5, 19, null]
"""


@pytest.fixture
def sound(tmp_path):
    path = tmp_path / "sound.plf"
    path.write_bytes(serialize(Bitstream(HEADER, bytes(4096), METADATA)))
    return str(path)


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "plain.plf"
    path.write_bytes(serialize(Bitstream(HEADER, bytes(8))))
    return str(path)


@pytest.fixture
def short(tmp_path):
    path = tmp_path / "short.plf"
    path.write_bytes(serialize(Bitstream(HEADER, bytes(8)))[:-1])
    return str(path)


def run_plf(*arguments, **options):
    """Run ``plf`` as a process of its own."""
    command = [sys.executable, "-m", "featcodec.commands.plf", *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", **options)


class TestInfo:
    def test_text(self, sound, capsys):
        assert main(["info", sound]) == 0
        assert capsys.readouterr().out == TEXT.replace("{path}", sound)

    def test_several_files_are_parted_by_an_empty_line(self, plain, capsys):
        assert main(["info", plain]) == 0
        once = capsys.readouterr().out
        assert "metadata" not in once
        assert main(["info", plain, plain]) == 0
        assert capsys.readouterr().out == once + "\n" + once

    def test_json_of_one_file_is_an_object(self, sound, capsys):
        assert main(["info", "--json", sound]) == 0
        out = capsys.readouterr().out
        assert out.isascii()
        assert json.loads(out) == {
            "file": sound,
            "bytes": 4223,
            "format_version": 1,
            "codec": "my-detector",
            "fingerprint": "000102030405060708090a0b0c0d0e0f",
            "quality": 3.5,
            "width": 4000,
            "height": 3000,
            "size": 640,
            "latent_height": 40,
            "latent_width": 40,
            "symbol_hash": "deadbeef",
            "payload_bytes": 4096,
            "bpp": 8 * 4223 / 12_000_000,
            "sections": [
                {"tag": "H", "offset": 7, "length": 41, "bytes": 47, "crc32": "802e1c68"},
                {"tag": "m", "offset": 54, "length": 60, "bytes": 66, "crc32": "d52cc99e"},
                {"tag": "D", "offset": 120, "length": 4096, "bytes": 4103, "crc32": "15e6e34c"},
            ],
            "metadata": METADATA,
        }

    def test_json_of_several_files_is_a_list(self, sound, plain, capsys):
        assert main(["info", "--json", sound, plain]) == 0
        first, second = json.loads(capsys.readouterr().out)
        assert (first["file"], second["file"]) == (sound, plain)
        assert second["metadata"] is None
        assert list(first) == list(second)

    def test_max_pixels_is_a_limit(self, plain, capsys):
        assert main(["info", plain, "--max-pixels", "12000000"]) == 0
        assert main(["info", plain, "--max-pixels", "11999999"]) == 1
        assert "got 12,000,000 pixels, expected at most 11,999,999" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("option", "limit"),
        [
            ("--max-latents", 1599),
            ("--max-payload", 7),
            ("--max-metadata", 1),
            ("--max-sections", 1),
            ("--max-file", 9),
        ],
    )
    @pytest.mark.parametrize("command", ["info", "verify"])
    def test_every_limit_has_an_option(self, sound, command, option, limit, capsys):
        assert main([command, sound, option, str(limit)]) == 1
        err = capsys.readouterr().err
        assert f"expected at most {limit:,}" in err
        assert err.count("\n") == 1

    def test_what_the_terminal_cannot_show_is_escaped(self, sound):
        done = run_plf("info", sound, env={**os.environ, "PYTHONIOENCODING": "ascii"})
        assert done.returncode == 0
        assert r"Nordstra\xdfe" in done.stdout

    def test_unknown_optional_sections_are_shown(self, tmp_path, capsys):
        path = tmp_path / "later.plf"
        covered = serialize(Bitstream(HEADER, bytes(8)))[:50]
        data = covered + zlib.crc32(covered).to_bytes(4, "little")
        for section in (b"z\x05later", b"D\x04data"):
            covered += section
            data += section + zlib.crc32(covered).to_bytes(4, "little")
        path.write_bytes(data)
        assert main(["info", str(path)]) == 0
        assert "  z unknown           54           5 " in capsys.readouterr().out


class TestVerify:
    def test_sound_files_are_ok(self, sound, plain, capsys):
        assert main(["verify", "--checksums-only", sound, plain]) == 0
        assert capsys.readouterr().out == f"{sound}: ok (checksums)\n{plain}: ok (checksums)\n"

    def test_the_other_files_are_done_after_a_bad_one(self, sound, short, plain, capsys):
        assert main(["verify", "--checksums-only", sound, short, plain]) == 1
        out, err = capsys.readouterr()
        assert out == f"{sound}: ok (checksums)\n{plain}: ok (checksums)\n"
        assert err == (
            f"plf: {short}: checksum of section 'D' at offset 64: got 3 bytes, expected 4:"
            " the file ends early\n"
        )

    def test_json_says_how_far_it_came(self, plain, short, capsys):
        assert main(["verify", "--checksums-only", "--json", plain]) == 0
        expected = {
            "file": plain,
            "ok": True,
            "checksums": True,
            "symbols": None,
            "kind": None,
            "error": None,
        }
        assert json.loads(capsys.readouterr().out) == expected
        damaged = bytearray(Path(plain).read_bytes())
        damaged[20] ^= 1
        Path(plain).write_bytes(damaged)
        assert main(["verify", "--checksums-only", "--json", plain, short]) == 1
        out, err = capsys.readouterr()
        first, second = json.loads(out)
        assert (first["ok"], first["checksums"], first["kind"]) == (False, False, "ChecksumError")
        assert (second["ok"], second["checksums"], second["kind"]) == (False, None, "TruncatedError")
        assert err == f"plf: {first['error']}\nplf: {second['error']}\n"

    def test_of_many_files_it_shows_how_far_it_is(self, sound, capsys, monkeypatch):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", "500")
        assert main(["verify", "--checksums-only", sound, sound]) == 0
        out, err = capsys.readouterr()
        assert out == f"{sound}: ok (checksums)\n" * 2
        assert [line for line in err.split("\r\x1b[K") if line] == [f"0/2 {sound}", f"1/2 {sound}"]


class TestDump:
    def test_the_sections_are_listed(self, sound, capsys):
        assert main(["dump", sound]) == 0
        assert capsys.readouterr().out == (
            "section         offset  content at      length  crc-32\n"
            "H header             7           9          41  802e1c68\n"
            "m metadata          54          56          60  d52cc99e\n"
            "D payload          120         123       4,096  15e6e34c\n"
        )

    def test_the_contents_are_written(self, sound, tmp_path, capsys):
        assert main(["dump", sound, "-o", str(tmp_path / "parts"), "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        data = Path(sound).read_bytes()
        assert [s["tag"] for s in shown["sections"]] == ["H", "m", "D"]
        for s in shown["sections"]:
            written = Path(s["written"])
            assert written.name == f"{shown['sections'].index(s) + 1}-{s['tag']}.bin"
            assert written.read_bytes() == data[s["content"] : s["content"] + s["length"]]

    def test_a_folder_that_cannot_be_made_is_one_line(self, sound, plain, capsys):
        assert main(["dump", sound, "-o", plain]) == 1
        assert capsys.readouterr() == ("", f"plf: {plain}: File exists, expected a folder\n")

    def test_standard_output_takes_one_thing(self, sound, capsys):
        assert main(["dump", sound, "--symbols", "-", "--json"]) == 1
        assert "standard output: got more than one thing" in capsys.readouterr().err


class TestDiff:
    def test_the_same_bytes_are_exit_code_0(self, plain, capsys):
        assert main(["diff", plain, plain]) == 0
        assert capsys.readouterr() == (f"{plain} and {plain} are identical\n", "")

    def test_another_codec_is_exit_code_1_and_the_fields_are_shown(self, plain, tmp_path, capsys):
        other = tmp_path / "other.plf"
        header = replace(HEADER, fingerprint=bytes(16), quality_step=0, width=3999)
        other.write_bytes(serialize(Bitstream(header, bytes(12), {"a": 1})))
        assert main(["diff", plain, str(other)]) == 1
        assert capsys.readouterr().out == (
            f"{plain} and {other} differ\n"
            "  bytes         68 against 85\n"
            "  payload       8 against 12\n"
            "  fingerprint   000102030405060708090a0b0c0d0e0f against 00000000000000000000000000000000\n"
            "  quality       3.5 against 1.0\n"
            "  width         4000 against 3999\n"
            "  sections      HD against HmD\n"
            "  metadata      differs\n"
            "  symbols       not compared: made by different codecs\n"
        )

    def test_trouble_is_exit_code_2(self, plain, short, tmp_path, capsys):
        for arguments in ([plain, short], [str(tmp_path / "missing"), plain], ["-", "-"]):
            assert main(["diff", *arguments]) == 2
            out, err = capsys.readouterr()
            assert (out, err.count("\n")) == ("", 1)
            assert err.startswith("plf: ")


class TestConformance:
    def test_a_folder_without_manifest_is_one_line(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        assert main(["conformance"]) == 1
        assert capsys.readouterr().err == (
            "plf: bitstreams/manifest.json: no such file, expected the folder of the conformance streams: "
            "plf conformance FOLDER (bitstreams/ of featcodec's repository)\n"
        )

    @pytest.mark.parametrize(
        "manifest", ["", "{", "[]", "{}", '{"valid":[],"invalid":[]}', '{"valid":[{}],"invalid":[]}']
    )
    def test_a_bad_manifest_is_one_line(self, manifest, tmp_path, capsys):
        (tmp_path / "manifest.json").write_text(manifest)
        assert main(["conformance", str(tmp_path)]) == 1
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert "expected a manifest of streams" in err


class TestBadInput:
    @pytest.mark.parametrize(
        "command", [["info"], ["info", "--json"], ["info", "--bits"], ["verify"], ["dump"]]
    )
    def test_each_is_one_line_and_exit_code_1(self, tmp_path, capsys, command):
        empty, huge, text = tmp_path / "empty", tmp_path / "huge", tmp_path / "text"
        empty.touch()
        text.write_text("hello, world")
        with huge.open("wb") as file:
            file.write(MAGIC)
            file.truncate(50 * 10**9)
        for path, reason in [
            (tmp_path / "missing", "No such file or directory"),
            (tmp_path, "Is a directory"),
            (empty, "magic at offset 0: got 0 bytes, expected 6: the file is empty"),
            (text, "magic at offset 0: got 68 65 6c 6c 6f 2c, expected 89 50 4c 46 0d 0a"),
            (huge, "got 50,000,000,000 bytes, expected at most 1,048,576 bytes"),
        ]:
            assert main([*command, str(path)]) == 1
            assert capsys.readouterr() == ("", f"plf: {path}: {reason}\n")

    def test_a_hostile_file_name_stays_one_harmless_line(self, tmp_path, capsys):
        path = tmp_path / "a\n\x1b[31mb"
        path.write_bytes(b"no")
        assert main(["info", str(path)]) == 1
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert r"a\n\x1b[31mb: magic at offset 0" in err

    def test_an_undecodable_file_name_is_shown(self, plain, tmp_path):
        path = tmp_path / os.fsdecode(b"\xff.plf")
        try:
            Path(plain).rename(path)
        except OSError:
            pytest.skip("this file system takes no such names")
        done = run_plf("verify", "--checksums-only", path)
        assert done.returncode == 0
        assert done.stdout.endswith("/\\udcff.plf: ok (checksums)\n")

    def test_json_keeps_its_shape(self, plain, short, capsys):
        assert main(["info", "--json", short, plain]) == 1
        assert [shown["file"] for shown in json.loads(capsys.readouterr().out)] == [plain]
        assert main(["info", "--json", short, short]) == 1
        assert json.loads(capsys.readouterr().out) == []


class TestCommandLine:
    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["info"],
            ["verify"],
            ["show", "a"],
            ["map", "a"],
            ["dump"],
            ["dump", "a", "b"],
            ["diff", "a"],
            ["conformance", "a", "b"],
            ["info", "a", "--max-pixels", "0"],
            ["info", "a", "--max-pixels", "x"],
            ["verify", "a", "--max-file", "-1"],
        ],
    )
    def test_wrong_usage_is_exit_code_2(self, arguments, capsys):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert capsys.readouterr().err.startswith("usage: plf")

    def test_version_names_the_format_too(self, capsys):
        with pytest.raises(SystemExit) as caught:
            main(["--version"])
        assert caught.value.code == 0
        out = capsys.readouterr().out
        assert out.startswith("plf ")
        assert out.endswith(", .plf format version 1\n")

    def test_help_names_the_commands(self, capsys):
        with pytest.raises(SystemExit):
            main(["--help"])
        out = capsys.readouterr().out
        for command in COMMANDS:
            assert re.search(rf"^    {command}\b", out, re.MULTILINE)

    @pytest.mark.parametrize("command", COMMANDS)
    def test_the_help_of_a_command_has_an_example_and_exit_codes(self, command, capsys):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        out = capsys.readouterr().out
        assert f"example:\n  plf {command} " in out
        assert "exit codes" in out


class TestProcess:
    def test_running_as_a_module_gives_the_exit_code(self, plain, short):
        assert run_plf("verify", "--checksums-only", plain).returncode == 0
        assert run_plf("verify", short).returncode == 1
        assert run_plf().returncode == 2

    def test_without_decoding_it_imports_neither_torch_nor_numpy(self, plain):
        script = (
            "import sys; from featcodec.commands.plf import main;"
            "main(['info', sys.argv[1]]); main(['verify', '--checksums-only', sys.argv[1]]);"
            "main(['dump', sys.argv[1]]); main(['diff', sys.argv[1], sys.argv[1]]);"
            "sys.exit(bool({'torch', 'numpy', 'PIL', 'constriction'} & set(sys.modules)))"
        )
        subprocess.run([sys.executable, "-c", script, plain], check=True, stdout=subprocess.DEVNULL)

    def test_a_cut_off_pipe_is_quiet(self, plain):
        command = [sys.executable, "-m", "featcodec.commands.plf", "info", plain]
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, b"")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
    def test_a_full_disk_is_one_line(self, plain):
        with Path("/dev/full").open("wb") as full:
            command = [sys.executable, "-m", "featcodec.commands.plf", "info", plain]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr) == (1, "plf: standard output: No space left on device\n")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
    def test_an_interrupt_is_quiet(self, plain, tmp_path):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        command = [
            sys.executable,
            "-m",
            "featcodec.commands.plf",
            "verify",
            "--checksums-only",
            plain,
            str(pipe),
        ]
        # Unbuffered, so that the first line tells that the second file, which never comes, is waited for.
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        # tests in the background of a script inherit an interrupt that is ignored
        heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        options = {"env": environment, "preexec_fn": heed}
        with subprocess.Popen(command, stdout=-1, stderr=-1, **options) as process:
            process.stdout.readline()
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=10) == (b"", b"")
        assert process.returncode == 130
