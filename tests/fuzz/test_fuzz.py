"""No mutant of a file gets anything out of the decoder but features or an error of ours."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import fuzz_decode
import pytest
from campaign import MAX_MEMORY, MAX_SECONDS, decoded
from mutants import PLAN, make
from parts import resealed, sound_files

CAMPAIGN = Path(__file__).with_name("campaign.py")


def test_every_mutant_decodes_or_ends_with_a_named_error_in_bounded_time_and_memory():
    # In a process of its own, for memory that earlier tests have taken would hide what this one takes.
    done = subprocess.run([sys.executable, CAMPAIGN, "--json"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(done.stdout)
    outcomes = sum((Counter(row["outcomes"]) for row in rows), Counter())
    assert sum(outcomes.values()) >= 20_000
    assert sum(row["memory"] for row in rows) < MAX_MEMORY
    assert max(row["slowest"] for row in rows) < MAX_SECONDS
    errors = "NotPlf Unsupported Truncated Checksum Malformed Limit SymbolHash ModelMismatch"
    assert set(outcomes) == {"unchanged", "decoded", *(f"{name}Error" for name in errors.split())}
    # each part of the reader was reached
    by_kind = {row["kind"]: row["outcomes"] for row in rows}
    assert by_kind["sealed payload"]["SymbolHashError"] > 0
    assert by_kind["sealed payload"]["MalformedError"] > 100
    assert by_kind["forged"] == {"decoded": PLAN["forged"].count}
    assert by_kind["largest of escapes"] == {"decoded": PLAN["largest of escapes"].count}


@pytest.mark.parametrize("kind", ["bits", "spliced", "sealed numbers", "forged"])
def test_a_mutant_follows_from_seed_kind_and_number(kind):
    assert make(kind, 3, seed=5) == make(kind, 3, seed=5)
    assert make(kind, 3, seed=5) != make(kind, 3, seed=6)


def test_sealing_again_makes_any_change_reach_what_lies_behind_the_checksums():
    for data in sound_files():
        assert resealed(data) == data
        changed = bytearray(data)
        changed[-5] ^= 1  # the payload's last byte
        assert decoded(bytes(changed), features=False) == "ChecksumError"
        assert decoded(resealed(bytes(changed)), features=False) != "ChecksumError"


class TestTarget:
    """The target for atheris, which is not needed to run it on files."""

    def test_it_takes_sound_files_and_damaged_ones(self):
        for data in sound_files():
            fuzz_decode.one_input(data)
            fuzz_decode.one_input(data[:-9])
            fuzz_decode.one_input(data[:-6] + b"\x55" + data[-5:])
        for data in (b"", b"\x89PLF", b"\x89PLF\r\n\x01H\xff\xff\xff\xff\x0f"):
            fuzz_decode.one_input(data)

    def test_it_lets_other_errors_out(self, monkeypatch):
        def broken(*_, **__):
            raise IndexError

        monkeypatch.setattr("featcodec.codec.feature_codec.FeatureCodec.decode_symbols", broken)
        with pytest.raises(IndexError):
            fuzz_decode.one_input(sound_files()[0])

    def test_files_and_folders_are_run_once_each(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(fuzz_decode, "atheris", None)
        assert fuzz_decode.main(["--seeds", str(tmp_path / "seeds")]) == 0
        files = sorted((tmp_path / "seeds").iterdir())
        assert len(files) == len(sound_files())
        assert fuzz_decode.main([str(path) for path in files]) == 0
        assert capsys.readouterr().out.splitlines() == [f"{path}: ok" for path in files]
