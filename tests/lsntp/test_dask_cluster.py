"""A Dask cluster of real processes: lost workers, poison blocks, none left, other versions."""

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster

import lsntp.dask_cluster
from lsntp.config import DaskConfig
from lsntp.dask_cluster import compute_blocks, on_cluster
from lsntp.errors import BlockError, ClusterError, SourceDataError
from lsntp.regrid import ConservativeWeights
from tests.lsntp.ingest_files import archive_of, make_domain, run, stored_bytes, weather, write

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = "120"


@contextmanager
def spawned(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A part of Dask as a process of its own, as a person starts it."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "distributed.cli." + words[0], *words[1:]]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def processes(*worker_options: str) -> Iterator[tuple[str, list[subprocess.Popen[str]]]]:
    """A scheduler and two workers, each an OS process; the scheduler's address and the workers."""
    quiet = ("--dashboard-address", ":0")
    with ExitStack() as stack:
        scheduler = stack.enter_context(
            spawned("dask_scheduler", "--host", "127.0.0.1", "--port", "0", *quiet)
        )
        address = next(
            found.group()
            for line in scheduler.stderr or ()
            if (found := re.search(r"tcp://127\.0\.0\.1:\d+", line))
        )
        drain(scheduler)
        options = ("--nthreads", "1", "--death-timeout", WAIT_S, *quiet, *worker_options)
        workers = [
            stack.enter_context(spawned("dask_worker", address, "--host", "127.0.0.1", *options))
            for _ in range(2)
        ]
        for worker in workers:
            drain(worker)
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=float(WAIT_S))
        yield address, workers


def drain(process: subprocess.Popen[str]) -> None:
    """Read what a process says, so that it never waits for a reader."""
    stream = process.stderr
    assert stream is not None
    threading.Thread(target=lambda: [None for _ in stream], daemon=True).start()


def on(address: str) -> DaskConfig:
    return DaskConfig(cluster=address)


class Doubling:
    """Twice a block; the first process to take a block of ``fatal`` dies of it, once."""

    def __init__(self, folder: Path, fatal: float, *, always: bool = False) -> None:
        self.folder, self.fatal, self.always = folder, fatal, always

    def __call__(self, block: np.ndarray) -> np.ndarray:
        mark = self.folder / "died"
        if block[0] == self.fatal and (self.always or not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * block


@pytest.fixture
def blocks() -> dict[str, np.ndarray]:
    return {f"hour {number}": np.full(1000, float(number)) for number in range(12)}


def test_a_worker_killed_midway_changes_no_number(
    tmp_path: Path, blocks: dict[str, np.ndarray]
) -> None:
    with processes("--no-nanny") as (address, workers), on_cluster(on(address)):
        found = compute_blocks(Doubling(tmp_path, fatal=7.0), blocks)
        assert (tmp_path / "died").exists()
        assert sorted(worker.poll() is None for worker in workers) == [False, True]
    assert list(found) == list(blocks)
    for name, block in blocks.items():
        np.testing.assert_array_equal(found[name], 2 * block)


@pytest.mark.slow
def test_a_block_that_ends_every_worker_is_named_and_the_others_can_be_computed(
    tmp_path: Path, blocks: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lsntp.dask_cluster, "WITHOUT_WORKERS_S", float(WAIT_S))  # to restart
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "1")
    poison = Doubling(tmp_path, fatal=7.0, always=True)
    with processes("--nanny") as (address, _), on_cluster(on(address)):
        with pytest.raises(
            BlockError, match=r"the block hour 7, found that it ended each of the 2"
        ):
            compute_blocks(poison, blocks)
        del blocks["hour 7"]
        assert len(compute_blocks(poison, blocks)) == 11


def test_a_cluster_that_lost_its_last_worker_is_an_error_that_names_the_block(
    tmp_path: Path, blocks: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lsntp.dask_cluster, "WITHOUT_WORKERS_S", 3.0)
    block = {"hour 7": blocks["hour 7"]}
    with (
        processes("--no-nanny") as (address, _),
        on_cluster(on(address)),
        pytest.raises(ClusterError, match=r"all were lost while these were computed: hour 7"),
    ):
        compute_blocks(Doubling(tmp_path, fatal=7.0, always=True), block)


def fail(block: np.ndarray) -> np.ndarray:
    return block.reshape(7, -1)


@pytest.mark.parametrize("where", ["local", "cluster"])
def test_a_block_that_raises_is_named(blocks: dict[str, np.ndarray], where: str) -> None:
    with ExitStack() as stack:
        address = "local"
        if where == "cluster":
            cluster = LocalCluster(
                n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
            )
            address = stack.enter_context(cluster).scheduler_address
        stack.enter_context(on_cluster(on(address)))
        with pytest.raises(BlockError, match=r"the block hour 3, found ValueError: cannot reshape"):
            compute_blocks(fail, {"hour 3": blocks["hour 3"]})


def test_a_scheduler_without_workers_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lsntp.dask_cluster, "WITHOUT_WORKERS_S", 0.5)
    with LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster:
        address = cluster.scheduler_address
        with pytest.raises(ClusterError, match=r"Expected workers.*found none.*dask worker"):
            on_cluster(on(address)).__enter__()


def test_workers_of_other_versions_are_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def versions(self: Client, **_: object) -> object:
        here = {"packages": {"lsntp": "1.0", "numpy": "2.1"}}
        there = {"packages": {"lsntp": None, "numpy": "2.1"}}
        return {"client": here, "workers": {"tcp://a:1": here, "tcp://b:2": there}}

    monkeypatch.setattr(Client, "get_versions", versions)
    with (
        caplog.at_level(logging.WARNING, "lsntp.dask_cluster"),
        LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster,
        on_cluster(on(cluster.scheduler_address)),
    ):
        pass
    (record,) = caplog.records
    assert "worker tcp://b:2" in record.getMessage()
    assert "lsntp None (here 1.0); install" in record.getMessage()


def test_workers_of_the_same_versions_are_no_news(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING, "lsntp.dask_cluster"),
        LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster,
        on_cluster(on(cluster.scheduler_address)),
    ):
        pass
    assert caplog.records == []


def test_an_ingest_loses_a_worker_midway_and_the_archive_is_the_same_byte_for_byte(
    tmp_path: Path,
) -> None:
    write(tmp_path / "a.nc", weather(24 * 20))
    local = make_domain(tmp_path, root=str(tmp_path / "local"))
    run(local)
    with processes("--no-nanny") as (address, workers):
        domain = make_domain(tmp_path, root=str(tmp_path / "cluster"), **{"dask.cluster": address})
        threading.Thread(target=kill_when_busy, args=(address, workers[0]), daemon=True).start()
        run(domain)
        workers[0].wait(timeout=float(WAIT_S))
        assert workers[1].poll() is None
    one, other = archive_of(local), archive_of(domain)
    assert one.times.size == other.times.size == 24 * 20
    one_bytes, other_bytes = stored_bytes(one.path), stored_bytes(other.path)
    fields = [key for key in one_bytes if key.startswith("t2m/c/")]
    assert len(fields) == 20
    assert {key: one_bytes[key] for key in fields} == {key: other_bytes[key] for key in fields}


def kill_when_busy(address: str, worker: subprocess.Popen[str]) -> None:
    """Kill -9 as soon as the cluster has work."""
    with Client(address, set_as_default=False) as client:
        while not any(client.processing().values()):
            time.sleep(0.005)
        worker.kill()


def test_an_ingest_names_time_and_file_of_a_poison_block_and_stores_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    values = weather(72)
    write(tmp_path / "a.nc", values)
    domain = make_domain(tmp_path)
    cursed = np.float32(values[30, 0, 0])
    original = ConservativeWeights.apply

    def apply(self: ConservativeWeights, frames: np.ndarray) -> np.ndarray:
        is_block = threading.current_thread() is not threading.main_thread()  # not the judging
        if is_block and (frames[:, 0, 0] == cursed).any():
            raise MemoryError("of a library")
        return original(self, frames)

    monkeypatch.setattr(ConservativeWeights, "apply", apply)
    with pytest.raises(SourceDataError, match=r"2019-03-02T06:00Z.*a\.nc.*MemoryError"):
        run(domain)
    assert "block 2019-03-02T00:00Z..2019-03-02T23:00Z of a.nc" in caplog.text
    usable = np.isin(archive_of(domain).status, (1, 2))
    assert np.flatnonzero(~usable).tolist() == [30]


POISON = """
import os, signal
from lsntp.regrid import ConservativeWeights

def apply(self, frames, original=ConservativeWeights.apply):
    if (frames[:, 0, 0] == {cursed!r}).any():
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, frames)

ConservativeWeights.apply = apply
"""


@pytest.mark.slow
def test_an_ingest_on_a_cluster_names_time_and_file_of_a_block_that_ends_every_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lsntp.dask_cluster, "WITHOUT_WORKERS_S", float(WAIT_S))  # to restart
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    values = weather(72)
    write(tmp_path / "a.nc", values)
    preload = tmp_path / "poison.py"
    preload.write_text(POISON.format(cursed=float(np.float32(values[30, 0, 0]))))
    with processes("--nanny", "--preload", str(preload)) as (address, _):
        domain = make_domain(tmp_path, **{"dask.cluster": address})
        with pytest.raises(SourceDataError, match=r"2019-03-02T06:00Z.*a\.nc.*ended each of the 1"):
            run(domain)
    usable = np.isin(archive_of(domain).status, (1, 2))
    assert np.flatnonzero(~usable).tolist() == [30]
