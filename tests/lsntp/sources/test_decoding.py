"""The decoder is a real process; what it is fed here are real crashes, hangs and bombs."""

import contextlib
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import xarray as xr
from numcodecs import GZip

from lsntp.errors import SourceDataError, SourceUnavailableError
from lsntp.grid import Grid
from lsntp.sources import decoding, limits
from lsntp.sources.decoding import open_parts
from lsntp.sources.parts import Part

AREA = Grid(np.array([51.0, 50.0]), np.array([-1.0, 0.0, 1.0]))
Make = Callable[..., xr.Dataset]
Write = Callable[..., Path]

ENDLESS = """
import lsntp.sources.decoder as decoder
from pathlib import Path

honest = decoder.open_parts

def open_parts(path, unpack_into, label, **options):
    word = Path(path).read_bytes()
    if word == b"loop":
        while True: pass
    if word == b"sleep":
        import time; time.sleep(600)
    if word == b"crash":
        import ctypes; ctypes.string_at(0)
    if word == b"fill":
        held = []
        while True: held.append(bytes(2**26))
    if word == b"exit":
        import os; os._exit(3)
    if word == b"lie":
        decoder.pack = lambda *reply: iter([bytes([255] * 8)])
    if word == b"print":
        print("a library that talks", flush=True)
        path = Path(path).with_name("data.nc")
    return honest(path, unpack_into, label, **options)

decoder.open_parts = open_parts
decoder.main()
"""
"""The decoder, with a library that fails on cue; all else is as it runs."""


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A decoder of its own for the test, which fails at files that say how."""
    decoding._decoder.stop()
    monkeypatch.setattr(decoding, "COMMAND", ("-c", ENDLESS))
    yield
    decoding._decoder.stop()


def decoder_process() -> psutil.Process:
    """The one of this process, which may have children of other tests, dead ones among them."""
    (process,) = (
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE
        and "lsntp.sources.decoder" in " ".join(child.cmdline())
    )
    return process


def read_all(part: Part) -> np.ndarray:
    window = part.grid.window(AREA, part.label)
    return part.read(np.arange(part.times.size), window)[0]


# --- as usual ---------------------------------------------------------------------------------


def test_one_decoder_serves_many_files(make_dataset: Make, write: Write, tmp_path: Path) -> None:
    processes = set()
    for name in ("a.nc", "b.nc", "c.nc"):
        (part,) = open_parts(write(make_dataset(), name), tmp_path)
        np.testing.assert_array_equal(read_all(part), make_dataset().t2m.values)
        processes.add(decoder_process().pid)
    assert len(processes) == 1


def test_this_process_maps_no_foreign_file(
    make_dataset: Make, write: Write, tmp_path: Path
) -> None:
    path = write(make_dataset())
    (part,) = open_parts(path, tmp_path)
    read_all(part)
    held = {file.path for file in psutil.Process().open_files()}
    held |= {region.path for region in psutil.Process().memory_maps()}
    assert str(path) not in held


def test_long_questions_are_cut_to_blocks_with_the_same_answer(
    make_dataset: Make, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "BLOCK_CELLS", 45)  # two fields of 4 x 5 cells at once
    (part,) = open_parts(write(make_dataset(range(5))), tmp_path)
    np.testing.assert_array_equal(read_all(part), make_dataset(range(5)).t2m.values)


def test_the_decoder_is_told_no_secret(
    make_dataset: Make, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding._decoder.stop()  # one of an earlier test has an environment of its own
    secrets = ("CDSAPI_KEY", "AWS_SECRET_ACCESS_KEY", "PREFECT_API_KEY", "GITHUB_TOKEN")
    for name in secrets:
        monkeypatch.setenv(name, "canary-77aa")
    path = write(make_dataset())
    open_parts(path, path.parent)
    told = decoder_process().environ()
    assert "PYTHONPATH" in told
    assert "canary-77aa" not in told.values()


def test_parts_outlive_their_decoder(make_dataset: Make, write: Write, tmp_path: Path) -> None:
    (part,) = open_parts(write(make_dataset()), tmp_path)
    before = decoder_process().pid
    decoding._decoder.stop()
    np.testing.assert_array_equal(read_all(part), make_dataset().t2m.values)
    assert decoder_process().pid != before


def test_a_file_changed_since_it_was_opened_is_refused_though_the_decoder_is_new(
    make_dataset: Make, write: Write, tmp_path: Path
) -> None:
    path = write(make_dataset())
    (part,) = open_parts(path, tmp_path)
    write(make_dataset(range(9)))
    os.utime(path, (1, 1))
    for end in (lambda: None, decoding._decoder.stop):
        end()
        with pytest.raises(SourceUnavailableError, match=r"data\.nc to stay as it was"):
            read_all(part)


def test_what_the_decoder_logs_is_logged_here(
    make_dataset: Make, write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    member = write(make_dataset()).read_bytes()
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("good.nc", member)
        archive.writestr("short.nc", member[:3000])
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    with caplog.at_level(logging.WARNING):
        (part,) = open_parts(packed, unpacked)
    assert part.label == f"{packed}::good.nc"
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("lsntp.sources.formats", "WARNING")
    assert "left out a member" in record.getMessage()


def test_threads_take_turns(make_dataset: Make, write: Write, tmp_path: Path) -> None:
    paths = [write(make_dataset([hour]), f"{hour}.nc") for hour in range(8)]
    found: dict[int, np.ndarray] = {}

    def read(hour: int) -> None:
        (part,) = open_parts(paths[hour], tmp_path)
        found[hour] = part.times

    threads = [threading.Thread(target=read, args=(hour,)) for hour in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    start = np.datetime64("2020-01-01T00")
    assert {h: times.tolist() for h, times in found.items()} == {
        h: [(start + np.timedelta64(h, "h")).astype("datetime64[ns]").astype(int)] for h in range(8)
    }


def test_a_forked_process_starts_a_decoder_of_its_own(
    make_dataset: Make, write: Write, tmp_path: Path
) -> None:
    path = write(make_dataset())
    script = (
        "import os, sys; from pathlib import Path; import psutil\n"
        "from lsntp.sources.decoding import open_parts\n"
        "path = Path(sys.argv[1])\n"
        "assert open_parts(path, path.parent)[0].times.size == 3\n"
        "child = os.fork()\n"
        "assert open_parts(path, path.parent)[0].times.size == 3\n"
        "if child: assert os.waitpid(child, 0)[1] == 0\n"
        "assert len(psutil.Process().children()) == 1\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_decoder_ends_with_a_process_that_is_killed(
    make_dataset: Make, write: Write, tmp_path: Path
) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; import psutil\n"
        "from lsntp.sources.decoding import open_parts\n"
        "open_parts(Path(sys.argv[1]), Path(sys.argv[1]).parent)\n"
        "print(psutil.Process().children()[0].pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(write(make_dataset()))],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        timeout=300,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout)).wait(60)


def test_the_decoder_loads_neither_the_scheduler_nor_torch_nor_dask() -> None:
    script = (
        "import sys, lsntp.sources.decoder\n"
        "print(sorted({'prefect', 'torch', 'dask', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout == "[]\n"


# --- failures on cue --------------------------------------------------------------------------


@pytest.mark.usefixtures("failing")
def test_a_file_that_crashes_the_decoder_is_named_and_the_next_one_is_read(
    make_dataset: Make, write: Write, tmp_path: Path
) -> None:
    good = write(make_dataset())
    with pytest.raises(SourceDataError, match=r"bad\.nc, found one that crashes the .*SIGSEGV"):
        open_parts(write(b"crash", "bad.nc"), tmp_path)
    assert open_parts(good, tmp_path)[0].times.size == 3


@pytest.mark.usefixtures("failing")
def test_a_file_that_takes_too_much_memory_is_named_and_the_next_one_is_read(
    make_dataset: Make, write: Write, tmp_path: Path
) -> None:
    good = write(make_dataset())
    with pytest.raises(SourceDataError, match=r"within 2 GiB and 30 s in .*bad\.nc.* more memory"):
        open_parts(write(b"fill", "bad.nc"), tmp_path)
    assert open_parts(good, tmp_path)[0].times.size == 3


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize(
    ("word", "waiting", "match"),
    [(b"loop", 1000.0, "more computing time"), (b"sleep", 2.0, "no end after 2 s")],
)
def test_a_file_that_holds_the_decoder_up_is_named_and_the_next_one_is_read(
    word: bytes,
    waiting: float,
    match: str,
    make_dataset: Make,
    write: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = write(make_dataset())
    assert open_parts(good, tmp_path)[0].times.size == 3
    with monkeypatch.context() as patch:
        patch.setattr(limits, "OPEN_S", 1.0)
        patch.setattr(limits, "WAITING", waiting)
        with pytest.raises(SourceDataError, match=rf"and 1 s in .*bad\.nc, found .*{match}"):
            open_parts(write(word, "bad.nc"), tmp_path)
    assert open_parts(good, tmp_path)[0].times.size == 3


@pytest.mark.usefixtures("failing")
def test_a_decoder_that_cannot_run_is_not_blamed_on_the_file(write: Write, tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailableError, match=r"about .*a\.nc, .*exit code 3"):
        open_parts(write(b"exit", "a.nc"), tmp_path)


@pytest.mark.usefixtures("failing")
def test_what_a_library_prints_is_no_answer(
    make_dataset: Make, write: Write, tmp_path: Path
) -> None:
    write(make_dataset())
    assert open_parts(write(b"print", "a.nc"), tmp_path)[0].times.size == 3


@pytest.mark.usefixtures("failing")
def test_an_answer_that_makes_no_sense_is_an_error_of_the_file_and_the_next_one_is_read(
    make_dataset: Make, write: Write, tmp_path: Path
) -> None:
    good = write(make_dataset())
    with pytest.raises(SourceDataError, match=r"about .*bad\.nc, found nonsense"):
        open_parts(write(b"lie", "bad.nc"), tmp_path)
    assert open_parts(good, tmp_path)[0].times.size == 3


def test_limits_stay_within_those_of_the_system() -> None:
    script = (
        "import resource as r; from lsntp.sources.decoder import limit, limit_nothing\n"
        "r.setrlimit(r.RLIMIT_CPU, (500, 500)); r.setrlimit(r.RLIMIT_AS, (2**40, 2**40))\n"
        "limit(2**50, 1000.0); print(r.getrlimit(r.RLIMIT_CPU), r.getrlimit(r.RLIMIT_AS)[1])\n"
        "limit(2**30, 1.0); print(r.getrlimit(r.RLIMIT_CPU)[0] < 500)\n"
        "limit_nothing(); print(r.getrlimit(r.RLIMIT_CPU))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout == f"(500, 500) {2**40}\nTrue\n(500, 500)\n"


@pytest.mark.usefixtures("failing")
def test_a_decoder_killed_from_outside_is_worth_another_try(write: Write, tmp_path: Path) -> None:
    path = write(b"sleep", "a.nc")
    failure: list[BaseException] = []
    others = set(psutil.Process().children())

    def ask() -> None:
        try:
            open_parts(path, tmp_path)
        except SourceUnavailableError as error:
            failure.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while not (children := set(psutil.Process().children()) - others):
        asking.join(0.05)
    (decoder,) = children
    decoder.kill()
    asking.join(60)
    assert "stopped from outside (SIGKILL)" in str(failure[0])


def test_an_idle_decoder_that_was_killed_is_replaced(
    make_dataset: Make, write: Write, tmp_path: Path
) -> None:
    path = write(make_dataset())
    open_parts(path, tmp_path)
    process = decoder_process()
    process.kill()
    while process.status() != psutil.STATUS_ZOMBIE:
        threading.Event().wait(0.01)
    assert open_parts(path, tmp_path)[0].times.size == 3


# --- bombs ------------------------------------------------------------------------------------


def test_a_zarr_chunk_that_unpacks_to_far_more_than_its_shape_is_refused(
    make_dataset: Make, tmp_path: Path
) -> None:
    store = tmp_path / "bomb.zarr"
    make_dataset().to_zarr(
        store, zarr_format=2, consolidated=False, encoding={"t2m": {"compressors": GZip(1)}}
    )
    chunk = store / "t2m" / "0.0.0"
    bomb = bytearray()
    piece = GZip(9).encode(bytes(2**26))  # members of gzip follow each other: 64 MiB each
    for _ in range(64):
        bomb += piece
    assert len(bomb) < 2**24
    chunk.write_bytes(bomb)
    (part,) = open_parts(store, tmp_path)
    with pytest.raises(SourceDataError, match=r"bomb\.zarr, found one that takes more memory"):
        read_all(part)
    assert peak_bytes() < 2 * limits.GIB


@pytest.mark.parametrize("name", ["t2m", "latitude", "valid_time", "expver"])
def test_a_zarr_store_of_enormous_chunks_is_refused_unread(
    name: str, make_dataset: Make, tmp_path: Path
) -> None:
    store = tmp_path / "bomb.zarr"
    dataset = make_dataset().assign_coords(expver=("valid_time", [1, 1, 1]))
    dataset.to_zarr(store, zarr_format=2, consolidated=False)
    path = store / name / ".zarray"
    meta = json.loads(path.read_text())
    huge = {"chunks": [10**6] * 3} if name == "t2m" else {"chunks": [10**10], "shape": [10**10]}
    path.write_text(json.dumps(meta | huge))
    with pytest.raises(SourceDataError, match=r"bomb\.zarr"):
        read_all(open_parts(store, tmp_path)[0])
    assert peak_bytes() < 2 * limits.GIB


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
