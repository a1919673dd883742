"""Whole files in, whole files out."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from featcodec.errors import InputError
from featcodec.files import check_folder, check_target, is_disk_full, printable, read_file, write_atomic

needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
not_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read and write everything"
)


@pytest.fixture
def umask():
    """A umask that differs from the usual ones."""
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


class TestPrintable:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("street.plf", "street.plf"),
            ("straße 1.plf", "straße 1.plf"),
            ("a\nb\x1b[0m", r"a\nb\x1b[0m"),
            ("\u202egpj", r"\u202egpj"),
            ("\udcff", r"\udcff"),
        ],
    )
    def test_only_unprintable_characters_are_escaped(self, text, shown):
        assert printable(text) == shown


class TestRead:
    def test_the_whole_content_comes_back(self, tmp_path):
        path = tmp_path / "a"
        path.write_bytes(bytes(range(256)) * 10_000)
        assert read_file(path, 2_560_000) == path.read_bytes()
        assert read_file(str(path), 10**9) == path.read_bytes()

    def test_a_larger_file_is_refused_with_both_sizes(self, tmp_path):
        path = tmp_path / "a"
        path.write_bytes(bytes(1001))
        with pytest.raises(InputError, match="a: got 1,001 bytes, expected at most 1,000 bytes"):
            read_file(path, 1000)

    def test_a_huge_file_is_refused_without_reading_it(self, tmp_path):
        path = tmp_path / "a"
        with path.open("wb") as file:
            file.truncate(50 * 10**9)
        with pytest.raises(InputError, match="got 50,000,000,000 bytes"):
            read_file(path, 1000)

    @pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero on this system")
    def test_an_endless_file_is_refused(self):
        with pytest.raises(InputError, match="/dev/zero: got a longer stream, expected at most 5 bytes"):
            read_file("/dev/zero", 5)

    @needs_fifo
    def test_a_pipe_is_read_to_its_end(self, tmp_path):
        path = tmp_path / "pipe"
        os.mkfifo(path)
        writer = threading.Thread(target=path.write_bytes, args=(bytes(100_000),))
        writer.start()
        assert read_file(path, 100_000) == bytes(100_000)
        writer.join()

    def test_what_cannot_be_read_is_one_line_with_path_and_reason(self, tmp_path):
        for path, reason in [
            (tmp_path, "Is a directory"),
            (tmp_path / "missing", "No such file or directory"),
            (tmp_path / ("x" * 300), "File name too long"),
        ]:
            with pytest.raises(InputError) as caught:
                read_file(path, 10)
            assert str(caught.value) == f"{path}: {reason}"

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("a\0b", r"a\x00b: null byte in the path"),
            ("a\nb", r"a\nb: No such file or directory"),
            ("", "'': Is a directory"),
        ],
    )
    def test_odd_paths_stay_one_line(self, path, message):
        with pytest.raises(InputError) as caught:
            read_file(path, 10)
        assert str(caught.value) == message

    @not_root
    def test_an_unreadable_file_is_an_input_error(self, tmp_path):
        path = tmp_path / "a"
        path.touch(mode=0o000)
        with pytest.raises(InputError, match="a: Permission denied"):
            read_file(path, 10)


class TestWrite:
    def test_the_content_is_there_and_nothing_else(self, tmp_path):
        path = tmp_path / "a.plf"
        for data in (b"", b"one", bytes(10**6)):
            write_atomic(path, data)
            assert path.read_bytes() == data
            assert list(tmp_path.iterdir()) == [path]

    def test_a_new_file_gets_the_permissions_of_the_umask(self, tmp_path, umask):
        write_atomic(tmp_path / "a", b"")
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask

    @pytest.mark.usefixtures("umask")
    def test_a_replaced_file_keeps_its_permissions(self, tmp_path):
        path = tmp_path / "a"
        path.touch()
        path.chmod(0o604)
        write_atomic(path, b"new")
        assert stat.S_IMODE(path.stat().st_mode) == 0o604

    def test_a_symbolic_link_stays_and_its_target_is_replaced(self, tmp_path):
        (tmp_path / "folder").mkdir()
        target, link = tmp_path / "folder" / "target", tmp_path / "link"
        link.symlink_to(target)
        for data in (b"created", b"replaced"):
            write_atomic(link, data)
            assert link.is_symlink()
            assert target.read_bytes() == data

    def test_the_longest_file_name_works(self, tmp_path):
        write_atomic(tmp_path / ("x" * 255), b"data")
        assert (tmp_path / ("x" * 255)).read_bytes() == b"data"

    @pytest.mark.parametrize(
        "failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
    )
    @pytest.mark.parametrize("step", ["fsync", "replace"])
    def test_a_failure_keeps_the_old_file_and_leaves_no_other(self, tmp_path, monkeypatch, failure, step):
        path = tmp_path / "a"
        path.write_bytes(b"old")

        def fail(*_):
            raise failure

        monkeypatch.setattr(os if step == "fsync" else Path, step, fail)
        with pytest.raises(InputError if isinstance(failure, OSError) else KeyboardInterrupt) as caught:
            write_atomic(path, b"new")
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]
        if isinstance(failure, OSError):
            assert str(caught.value) == f"{path}: No space left on device"

    def test_what_cannot_be_written_is_one_line_with_path_and_reason(self, tmp_path):
        (tmp_path / "file").touch()
        for path, reason in [
            (tmp_path, "Is a directory"),
            (tmp_path / "missing" / "a", "No such file or directory"),
            (tmp_path / "file" / "a", "Not a directory"),
            (tmp_path / "a\0b", "null byte in the path"),
        ]:
            with pytest.raises(InputError) as caught:
                write_atomic(path, b"data")
            assert str(caught.value) == f"{printable(path)}: {reason}"

    def test_the_empty_path_is_refused(self):
        with pytest.raises(InputError, match=r"^'': Is a directory"):
            write_atomic("", b"data")

    @not_root
    def test_a_write_protected_file_is_not_replaced(self, tmp_path):
        path = tmp_path / "a"
        path.touch(mode=0o444)
        with pytest.raises(InputError, match="a: Permission denied"):
            write_atomic(path, b"data")

    @needs_fifo
    def test_a_pipe_is_written_directly(self, tmp_path):
        path = tmp_path / "pipe"
        os.mkfifo(path)
        received = []
        reader = threading.Thread(target=lambda: received.append(path.read_bytes()))
        reader.start()
        write_atomic(path, b"data")
        reader.join()
        assert received == [b"data"]
        assert stat.S_ISFIFO(path.stat().st_mode)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
    def test_a_full_device_is_one_line(self):
        with pytest.raises(InputError, match=r"^/dev/full: No space left on device$"):
            write_atomic("/dev/full", b"data")

    @pytest.mark.parametrize("mode", ["wb", "ab"])
    def test_standard_output_is_continued_not_replaced(self, tmp_path, mode):
        path = tmp_path / "out"
        path.write_bytes(b"before ")
        script = "import featcodec.files as f; print(end='text '); f.write_atomic('/dev/stdout', b'data')"
        with path.open(mode) as out:
            subprocess.run([sys.executable, "-c", script], stdout=out, check=True)
        assert path.read_bytes() == (b"" if mode == "wb" else b"before ") + b"text data"

    def test_a_broken_pipe_is_left_to_the_command(self, tmp_path):
        script = (
            "import os, featcodec.files as f\n"
            "r, w = os.pipe(); os.close(r); os.dup2(w, 1)\n"
            "try: f.write_atomic('/dev/stdout', b'data')\n"
            "except BrokenPipeError: raise SystemExit(7)"
        )
        assert subprocess.run([sys.executable, "-c", script], cwd=tmp_path).returncode == 7


class TestClosed:
    """Places where nothing may be written, as `os.access` tells them: root may write everywhere."""

    @pytest.fixture
    def closed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)
        return tmp_path

    @pytest.mark.parametrize("write", [check_target, lambda path: write_atomic(path, b"data")])
    def test_a_closed_folder_is_named_with_what_to_do(self, closed, write):
        with pytest.raises(InputError) as caught:
            write(closed / "a.plf")
        assert str(caught.value) == (
            f"{closed}/a.plf: Permission denied: nothing may be written in the folder {closed}; "
            "choose another one, or change its permissions"
        )
        assert list(closed.iterdir()) == []

    def test_a_write_protected_file_is_told_from_its_folder(self, tmp_path, monkeypatch):
        path = tmp_path / "a.plf"
        path.touch()
        monkeypatch.setattr(os, "access", lambda where, _: Path(where) != path)
        with pytest.raises(InputError) as caught:
            check_target(path)
        assert str(caught.value) == (
            f"{path}: Permission denied: the file is write-protected; choose another name, or change its "
            "permissions"
        )

    def test_a_work_folder_is_made_or_refused(self, tmp_path, monkeypatch):
        check_folder(tmp_path / "new" / "work")
        assert (tmp_path / "new" / "work").is_dir()
        monkeypatch.setattr(os, "access", lambda *_: False)
        with pytest.raises(InputError, match="work: Permission denied: nothing may be written in the folder"):
            check_folder(tmp_path / "new" / "work")

    @pytest.mark.parametrize(
        ("code", "full"),
        [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EROFS, True), (errno.EACCES, False)],
    )
    def test_a_full_disk_is_told_from_a_fault_of_one_file(self, tmp_path, monkeypatch, code, full):
        def fail(_):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(InputError) as caught:
            write_atomic(tmp_path / "a", b"data")
        assert is_disk_full(caught.value) == full
