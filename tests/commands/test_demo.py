"""``featcodec demo`` as its user has it: the command serves the page, and a browser drives it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_missing import without

import featcodec
from featcodec.commands.main import main
from featcodec.demo import page

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PATIENCE = 180  # seconds for the page; a busy machine is slow, not wrong


def missing() -> str | None:
    """Why no browser can be driven here."""
    for module in ("gradio", "selenium", "skimage"):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed"
    if BROWSER is None:
        return "no chromium on this machine"
    return "no chromedriver on this machine (Debian: chromium-driver)" if DRIVER is None else None


browsing = pytest.mark.skipif(missing() is not None, reason=str(missing()))


# ---- the command line


def test_without_gradio_the_command_names_the_extra(tmp_path: Path) -> None:
    [said] = without("gradio", [("featcodec", "demo", "--no-browser")], tmp_path)
    assert said == (1, "featcodec: gradio is missing: pip install 'featcodec[demo]'\n")


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_a_port_that_cannot_be_is_a_wrong_command_line(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--port", port])
    assert ended.value.code == 2
    assert "argument --port" in capsys.readouterr().err


def test_nothing_is_offered_that_shares_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    assert "--share" not in capsys.readouterr().out


def test_the_browser_is_opened_and_a_signal_ends_the_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    happened: list[object] = []

    @contextlib.contextmanager
    def serve(codec: featcodec.FeatureCodec, **options: object) -> Iterator[str]:
        happened.append((codec.name, options))
        try:
            yield "http://127.0.0.1:7999/"
        finally:
            happened.append("closed")

    def opened(address: str) -> bool:
        happened.append(address)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return False

    monkeypatch.setattr(page, "serve", serve)
    monkeypatch.setattr(page, "gradio", lambda: None)
    monkeypatch.setattr("webbrowser.open", opened)
    with handlers_kept(), pytest.raises(SystemExit) as ended:
        main(["demo", "--port", "7999"])
    assert ended.value.code == 128 + signal.SIGTERM
    options = {"thief": None, "port": 7999}
    assert happened == [(featcodec.zoo.DEFAULT, options), "http://127.0.0.1:7999/", "closed"]
    out, err = capsys.readouterr()
    assert out == "http://127.0.0.1:7999/\n"
    assert err.splitlines()[0] == "featcodec: no browser found, open the address above in yours"


def test_a_port_that_is_taken_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(page, "gradio", lambda: None)  # which is not needed to find that out
    with contextlib.closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = int(other.getsockname()[1])
        with handlers_kept():
            assert main(["demo", "--no-browser", "--port", str(port)]) == 1
    err = capsys.readouterr().err
    assert err == f"featcodec: port {port}: got Address already in use, expected a free port\n"


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """The process's answers to signals are afterwards what they were."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


# ---- the server


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, port: int) -> subprocess.Popen[str]:
    """The command, its temporary files below a folder."""
    command = [sys.executable, "-m", "featcodec", "demo", "--no-browser", "--port", str(port)]
    environment = {**os.environ, "TMPDIR": str(folder), "GRADIO_SHARE": "True"}  # which must not count
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page is; afterwards it is ended by Ctrl-C, and leaves nothing behind."""
    folder, port = tmp_path_factory.mktemp("demo"), free_port()
    server = start(folder, port)
    assert server.stdout is not None
    said = server.stdout.readline().strip()
    try:
        assert said == f"http://127.0.0.1:{port}/"
        assert len(list(folder.glob("featcodec-demo-*"))) == 1
        yield said
    finally:
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=PATIENCE)
    assert server.returncode == 130
    assert errors == "featcodec: Ctrl-C ends it\n"
    assert list(folder.glob("featcodec-demo-*")) == []


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    profile = tmp_path_factory.mktemp("profile")
    for flag in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--window-size=1400,1300", f"--user-data-dir={profile}",
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    yield driver
    driver.quit()


def astronaut() -> Path:
    import skimage

    return Path(skimage.data_dir) / "astronaut.png"


def until(found: Callable[[], Any]) -> Any:
    """What a look at the page gives, as soon as it is something; the page is redrawn at any time."""
    from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException

    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(NoSuchElementException, StaleElementReferenceException):
            if value := found():
                return value
        time.sleep(0.1)
    raise AssertionError("the page does not show what it should")


def at(browser: Any, selector: str) -> Any:
    from selenium.webdriver.common.by import By

    return browser.find_element(By.CSS_SELECTOR, selector)


def opened(browser: Any, address: str, photograph: Path) -> None:
    """The page, with a photograph dropped on it."""
    browser.get(address)
    until(lambda: at(browser, "#photograph input[type=file]")).send_keys(str(photograph))


def shows_bytes(browser: Any, expected: int) -> bool:
    return bool(at(browser, "#plf-bytes").text == f"{expected:,}")


def size(quality: float, effort: int = 0) -> int:
    return len(featcodec.encode(astronaut(), quality=quality, effort=effort))


def drawn(browser: Any, name: str) -> bool:
    """Whether a picture has arrived and has pixels."""
    return bool(browser.execute_script("return arguments[0].naturalWidth", at(browser, f"#{name} img")) > 100)


@browsing
def test_the_bytes_shown_are_those_of_encode_whatever_the_controls(address: str, browser: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(browser, address, astronaut())
    until(lambda: shows_bytes(browser, size(4)))
    for name in ("plf", "jpeg", "heat"):
        until(lambda name=name: drawn(browser, name))
    at(browser, "#quality input[type=range]").send_keys(Keys.ARROW_RIGHT * 6)
    until(lambda: shows_bytes(browser, size(5.5)))
    assert f"{size(5.5):,} bytes" in at(browser, "#plf-words").text
    at(browser, "#effort input[value='1']").click()
    until(lambda: shows_bytes(browser, size(5.5, effort=1)))


@browsing
def test_what_is_no_picture_is_one_line_and_the_page_goes_on(
    address: str, browser: Any, tmp_path: Path
) -> None:
    hostile = tmp_path / "<b>hostile.png"
    hostile.write_bytes(b"\x89PNG\r\n\x1a\n and then nothing of the kind")
    opened(browser, address, hostile)
    said = until(lambda: at(browser, ".complaint")).text
    assert "hostile.png: " in said
    assert len(said.splitlines()) == 1
    assert "Traceback" not in browser.page_source
    opened(browser, address, astronaut())
    until(lambda: shows_bytes(browser, size(4)))


@browsing
def test_two_windows_do_not_disturb_each_other(address: str, browser: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(browser, address, astronaut())
    first = browser.current_window_handle
    browser.switch_to.new_window("window")
    opened(browser, address, astronaut())
    until(lambda: shows_bytes(browser, size(4)))
    at(browser, "#quality input[type=range]").send_keys(Keys.ARROW_LEFT * 4)
    until(lambda: shows_bytes(browser, size(3)))
    browser.close()
    browser.switch_to.window(first)
    until(lambda: shows_bytes(browser, size(4)))


@browsing
def test_the_page_asks_no_other_machine_for_anything(address: str, browser: Any) -> None:
    browser.get_log("performance")  # what came before
    opened(browser, address, astronaut())
    until(lambda: shows_bytes(browser, size(4)))
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert len(asked) > 10
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
