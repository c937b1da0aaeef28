"""The storage refuses, or the process is killed, at every stage: nothing stored is lost.

The rerun completes the work.

A refusal is a full disk (a small one of memory, in a mount namespace of the worker's own), a
limit on the size of files (no privilege needed), a read-only mount, or a permission withdrawn.
The oracle is the same work on storage that never refused, by a process that nobody killed.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from tests.integration.stored_roots import check_readers, names, stored

WORKER = Path(__file__).with_name("storage_process.py")
PROJECT = Path(__file__).resolve().parents[2]
START = np.datetime64("2024-02-26", "ns")  # the leap day is inside
HOUR = np.timedelta64(1, "h")
DOMAIN = """
domain: small
source: {name: files, paths: [first.nc]}
grid: {kind: regular, north: 58, south: 42, west: -10, east: 2, spacing: 2}
cadence_h: 1
history: 3
horizon: 3
archive: {start: 2024-02-26}
split:
  train: {start: 2024-02-26, end: 2024-02-29}
  validation: {start: 2024-02-29, end: 2024-03-01}
  test: {start: 2024-03-01, end: 2024-03-02}
baselines: [persistence, ridge]
bootstrap_samples: 100
"""
STAGES = ("ingest", "prepare", "train", "forecast", "evaluate", "report")
LATER = {
    "source.paths": ["first.nc", "later.nc"],
    "split.train.end": "2024-02-29T06",
    "split.validation": {"start": "2024-02-29T06", "end": "2024-03-01"},
    "split.test.end": "2024-03-03",
}
"""The second round: more hours, final ones for preliminary ones, another training period."""
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Answer:
    """How a call ended, after how many writes: exit code 0, or the error's, its class and words."""

    code: int
    error: str
    message: str
    writes: int = field(default=0, compare=False)


class Worker:
    """The stages in a process of their own; see storage_process.py."""

    def __init__(self, *prefix: str) -> None:
        self._process = subprocess.Popen(
            [*prefix, sys.executable, str(WORKER)],
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # progress bars
            text=True,
        )

    def seen(self, path: Path) -> Path:
        """Where this process finds what the worker's mounts show at ``path``."""
        own = Path(f"/proc/{self._process.pid}/root")
        return own / path.relative_to("/") if own.exists() else path

    def call(self, *call: Any) -> Answer:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Answer(
            answer.get("code", 0),
            answer.get("error", ""),
            answer.get("message", ""),
            answer["writes"],
        )

    def stage(
        self, name: str, folder: Path, changes: dict[str, Any], *, largest_file: int | None = None
    ) -> Answer:
        """One stage for the domain in ``folder``, below ``folder / "disk" / "root"``."""
        return self.call("stage", name, *_domain(folder, changes), largest_file)

    def in_a_child(self, name: str, folder: Path, changes: dict[str, Any], kill_at: int) -> Answer:
        """The same in a child that is killed at that write; 0: at none."""
        return self.call("in_a_child", kill_at, name, *_domain(folder, changes))

    def close(self) -> None:
        self._process.communicate()


def _domain(folder: Path, changes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    overrides = {**changes, "root": str(folder / "disk" / "root")}
    if "source.paths" in overrides:
        overrides["source.paths"] = [str(folder / path) for path in overrides["source.paths"]]
    return str(folder / "small.yaml"), overrides


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """A worker that can mount, where permitted: in a namespace of its own, which ends with it."""
    prefix = ("unshare", "--mount", "--propagation", "private")
    if os.geteuid() or subprocess.run([*prefix, "true"], capture_output=True).returncode:
        prefix = ()
    worker = Worker(*prefix)
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def bound(worker: Worker) -> Iterator[Worker]:
    """A worker whom permissions bind, whoever runs the tests."""
    if os.geteuid():
        yield worker
        return
    if shutil.which("setpriv") is None:
        pytest.skip("permissions bind root only with setpriv")
    bound = Worker("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    yield bound
    bound.close()


@pytest.fixture(scope="module")
def mortal() -> Iterator[Worker]:
    """A worker for :meth:`Worker.in_a_child` and nothing else."""
    worker = Worker()
    yield worker
    worker.close()


def write_fields(path: Path, hours: np.ndarray, expver: list[str], warmer_k: float = 0.0) -> None:
    """Hourly 1 degree fields around the British Isles: cooler to the north, warmest at 15 h."""
    latitude, longitude = np.arange(60.0, 39.0, -1), np.arange(-12.0, 5.0)
    wave = np.sin(np.radians(20 * longitude + 7 * latitude[:, None]))
    cycle = 3 * np.sin(2 * np.pi * (hours - 9) / 24) + hours / 100
    fields = 310 - 0.6 * latitude[:, None] + wave + cycle[:, None, None] + warmer_k
    fields[hours == 5 * 24 + 7] = 0.0  # goes to the quarantine
    xr.Dataset(
        {"t2m": (("valid_time", "latitude", "longitude"), fields.astype("f4"), {"units": "K"})},
        {
            "valid_time": START + hours * HOUR,
            "latitude": ("latitude", latitude, {"units": "degrees_north"}),
            "longitude": ("longitude", longitude, {"units": "degrees_east"}),
            "expver": ("valid_time", expver),
        },
    ).to_netcdf(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's folder; everything lies at one path, so that stored paths do not differ."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "small.yaml").write_text(DOMAIN)
    (folder / "disk").mkdir()
    first = np.arange(5 * 24)
    is_preliminary = first >= 4 * 24
    write_fields(folder / "first.nc", first, np.where(is_preliminary, "0005", "0001").tolist())
    later = np.arange(4 * 24, 6 * 24)
    write_fields(folder / "later.nc", later, ["0001"] * later.size, warmer_k=0.25)
    return folder


@dataclass(frozen=True)
class Round:
    """A second round that nothing disturbed.

    Attributes:
        states: the archive root as each stage finds it, and ``"end"``.
        writes: how many writes each stage makes.
    """

    states: dict[str, Path]
    writes: dict[str, int]


@pytest.fixture(scope="module")
def second_round(worker: Worker, mortal: Worker, folder: Path) -> Round:
    root = folder / "disk" / "root"
    for stage in STAGES:
        assert worker.stage(stage, folder, {}) == Answer(0, "", "")
    states, writes = {}, {}
    for stage in STAGES:
        states[stage] = folder / f"before-{stage}"
        shutil.copytree(root, states[stage], symlinks=True)
        answer = mortal.in_a_child(stage, folder, LATER, kill_at=0)
        assert answer == Answer(0, "", "")
        writes[stage] = answer.writes
    states["end"] = folder / "end"
    shutil.move(root, states["end"])
    return Round(states, writes)


@pytest.fixture(scope="module")
def states(second_round: Round) -> dict[str, Path]:
    return second_round.states


def after(stage: str) -> str:
    """The state that a stage leaves."""
    return (*STAGES, "end")[STAGES.index(stage) + 1]


# --- refusals ---------------------------------------------------------------------------------


def refused(answer: Answer, *words: str) -> None:
    """Exit code 8, and a line that says what was expected, found, and what to do."""
    assert (answer.code, answer.error) == (8, "StorageError"), answer
    for word in ("Expected", *words):
        assert word in answer.message, answer.message


# --- a disk that is full, and gets a little more room each time ------------------------------


def mount_disk(worker: Worker, point: Path, mebibytes: int = 24) -> None:
    options = ("-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs")
    answer = worker.call("system", "mount", *options, str(point))
    if answer.code:
        pytest.skip(f"this machine does not permit mounting a small disk: {answer.message}")


def leave_room(disk: Path, room: int) -> None:
    """Fill a disk but for ``room`` bytes."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    with filler.open("wb", buffering=0) as file:
        while (left := shutil.disk_usage(disk).free - room) > 0:
            file.write(bytes(min(left, MEBIBYTE)))


ROOMS = [0, 2**14, 2**16, 2**18, 2**22]
FEW_ROOMS = [0, 2**16, 2**22]


@pytest.mark.parametrize("rooms", [FEW_ROOMS, pytest.param(ROOMS, marks=pytest.mark.slow)])
@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_at_any_stage_loses_nothing_and_room_lets_the_rerun_finish(
    worker: Worker, folder: Path, states: dict[str, Path], stage: str, rooms: list[int]
) -> None:
    before, done = states[stage], states[after(stage)]
    point = folder / "disk"
    mount_disk(worker, point)
    disk = worker.seen(point)
    try:
        shutil.copytree(before, disk / "root", symlinks=True)
        refusals = 0
        for room in rooms:
            leave_room(disk, room)
            answer = worker.stage(stage, folder, LATER)
            if answer.code == 0:
                break
            refused(answer, "o space left", "ree space")
            refusals += 1
            check_readers(disk / "root", before, done)
            if room == 0:
                assert stored(disk / "root") == stored(before)
        assert refusals
        assert answer.code == 0
        assert stored(disk / "root") == stored(done)
    finally:
        worker.call("system", "umount", "--lazy", str(point))


# --- refusals that need no privilege, or come midway ------------------------------------------


@pytest.fixture
def fresh(folder: Path, states: dict[str, Path]) -> Iterator[Path]:
    """The root as the second ingest finds it, on the machine's own disk."""
    root = folder / "disk" / "root"
    shutil.copytree(states["ingest"], root, symlinks=True)
    yield root
    subprocess.run(["chmod", "-R", "u+rwX", root], check=True)
    shutil.rmtree(root)


def test_files_that_may_not_grow_are_refused_and_a_higher_limit_lets_the_rerun_finish(
    worker: Worker, folder: Path, states: dict[str, Path], fresh: Path
) -> None:
    for largest in (0, 200, 1000, 2000):  # metadata, then chunks of fields are too long
        answer = worker.stage("ingest", folder, LATER, largest_file=largest)
        refused(answer, "ile too large", "quota")
        check_readers(fresh, states["ingest"], states["prepare"])
    assert worker.stage("ingest", folder, LATER).code == 0
    assert stored(fresh) == stored(states["prepare"])


MIDWAY = ["t2m", "source_digest", "status", "time", ""]
"""What refuses: fields come first, then seals, then the extent; empty for the root metadata."""


@pytest.mark.parametrize(
    "array", [pytest.param(a, marks=[pytest.mark.slow] * (a in MIDWAY[1:4:2])) for a in MIDWAY]
)
def test_a_permission_lost_midway_leaves_whole_hours_and_its_return_lets_the_rerun_finish(
    bound: Worker, folder: Path, states: dict[str, Path], fresh: Path, array: str
) -> None:
    place = fresh / "analysis" / "small.zarr" / array
    for path in [place, *place.glob("c")]:
        path.chmod(0o500)
    refused(bound.stage("ingest", folder, LATER), "ermission denied", "writable for this user")
    for path in [place, *place.glob("c")]:
        path.chmod(0o700)
    check_readers(fresh, states["ingest"], states["prepare"])
    assert bound.stage("ingest", folder, LATER).code == 0
    assert stored(fresh) == stored(states["prepare"])


@pytest.mark.parametrize("array", ["status", "../.."])
def test_a_place_that_turns_read_only_is_named_and_what_was_stored_stays(
    worker: Worker, folder: Path, states: dict[str, Path], array: str
) -> None:
    point = folder / "disk"
    mount_disk(worker, point)
    root = worker.seen(point) / "root"
    try:
        shutil.copytree(states["ingest"], root, symlinks=True)
        place = str(point / "root" / "analysis" / "small.zarr" / array)
        worker.call("system", "mount", "--bind", place, place)
        assert worker.call("system", "mount", "-o", "remount,bind,ro", place).code == 0
        refused(worker.stage("ingest", folder, LATER), "ead-only", "writable", str(point))
        check_readers(root, states["ingest"], states["prepare"])
        worker.call("system", "umount", place)
        assert worker.stage("ingest", folder, LATER).code == 0
        assert stored(root) == stored(states["prepare"])
    finally:
        worker.call("system", "umount", "--lazy", str(point))


# --- a process that is killed -----------------------------------------------------------------

KILLS = {"ingest": 2, "prepare": 2, "train": 1, "forecast": 2, "evaluate": 2, "report": 1}
"""How many of a stage's writes a quick test is killed at, evenly spread."""


@pytest.mark.parametrize(
    ("stage", "kills"),
    [
        *KILLS.items(),
        *(
            pytest.param(stage, None, marks=[pytest.mark.slow, pytest.mark.timeout(3600)], id=stage)
            for stage in STAGES
        ),
    ],
)
def test_a_process_killed_at_a_write_loses_nothing_and_the_rerun_completes_and_clears_up(
    worker: Worker,
    mortal: Worker,
    folder: Path,
    second_round: Round,
    stage: str,
    kills: int | None,
) -> None:
    before, done = second_round.states[stage], second_round.states[after(stage)]
    root, writes = folder / "disk" / "root", second_round.writes[stage]
    kills = kills or writes
    assert kills > 0
    for place in range(kills):
        shutil.copytree(before, root, symlinks=True)
        try:
            kill_at = 1 + writes * (2 * place + 1) // (2 * kills)
            assert mortal.in_a_child(stage, folder, LATER, kill_at).code == 0
            check_readers(root, before, done)
            assert worker.stage(stage, folder, LATER) == Answer(0, "", "")
            assert stored(root) == stored(done)
            assert names(root) == names(done)
        finally:
            shutil.rmtree(root)
