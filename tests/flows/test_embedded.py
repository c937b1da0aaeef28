"""The server that a command starts for itself; in its place here programs that end or sleep."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows import embedded
from flows.embedded import MAX_STARTS, EmbeddedServer
from tasks.embedded import VARIABLE, is_embedded


def as_server(folder: Path, monkeypatch: pytest.MonkeyPatch, lines: str) -> None:
    """Let a shell script stand for the server's process."""
    script = folder / "server"
    script.write_text(f"#!/bin/sh\n{lines}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No server yet, and none afterwards."""
    monkeypatch.setenv("PREFECT_API_URL", "")
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setattr(embedded, "_started", [])
    monkeypatch.setattr(embedded.atexit, "register", lambda _: None)
    yield
    for server in embedded._started:
        server.stop()


def test_a_process_that_ends_before_it_answers_is_started_again_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_server(tmp_path, monkeypatch, f"echo started >> {tmp_path}/starts; exit 7")
    server = EmbeddedServer()
    with pytest.raises(RuntimeError, match=f"code 7 at each of {MAX_STARTS} starts"):
        server.wait_until_it_answers(60)
    assert (tmp_path / "starts").read_text().count("started") == MAX_STARTS == 3
    server.stop()


@pytest.mark.usefixtures("chosen")
def test_one_that_never_answers_is_given_up_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_server(tmp_path, monkeypatch, "exec sleep 600")
    monkeypatch.setenv("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "0.2")
    embedded.start()
    with pytest.raises(RuntimeError, match=r"no answer within 0\.2 s"):
        embedded.wait_until_it_answers()
    (process,) = (one for one in psutil.Process().children() if one.cmdline()[0] == "sleep")
    embedded._started[0].stop()
    assert not process.is_running()


@pytest.mark.usefixtures("chosen")
def test_a_process_has_one_server_and_says_so_to_its_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_embedded(os.environ["PREFECT_API_URL"])
    assert not is_embedded("http://127.0.0.1:4200/api")
    monkeypatch.setenv("PREFECT_API_URL", "http://of.somebody.else/api")
    as_server(tmp_path, monkeypatch, f"env > {tmp_path}/env; exec sleep 600")
    embedded.start()
    url = os.environ["PREFECT_API_URL"]
    assert url.startswith("http://127.0.0.1:")
    assert is_embedded(url)
    monkeypatch.setenv("PREFECT_API_URL", "")
    embedded.start()
    assert os.environ["PREFECT_API_URL"] == url
    while not (tmp_path / "env").exists() or "PREFECT_UI" not in (tmp_path / "env").read_text():
        time.sleep(0.01)
    assert "PREFECT_API_URL" not in (tmp_path / "env").read_text()  # it serves, and asks no one
