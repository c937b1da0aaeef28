"""Real files through the real source, quality, regridding and archive."""

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from distributed import LocalCluster, get_worker

import lsntp.dask_cluster
import lsntp.ingest
from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.quarantine import Quarantine
from lsntp.config import Domain, load_domain
from lsntp.errors import ArchiveError, ClusterError, DomainError, SourceDataError, StorageError
from lsntp.grid import regular_grid
from lsntp.ingest import ingest
from lsntp.names import Status
from lsntp.regrid import ConservativeWeights
from lsntp.times import Period, hours
from lsntp.workspace import Workspace

START = np.datetime64("2019-03-01", "ns")
NOW = np.datetime64("2019-05-01T12:00", "ns")
NATIVE = regular_grid(north=60, south=40, west=-12, east=4, spacing=1)
YAML = """
domain: tiny
source: {{name: files, paths: ["{paths}"]}}
grid: {{kind: regular, north: 58, south: 42, west: -10, east: 2, spacing: 2}}
cadence_h: 1
archive: {{start: 2019-03-01}}
split:
  train: {{start: 2019-03-01, end: 2019-03-02}}
  validation: {{start: 2019-03-02, end: 2019-03-03}}
  test: {{start: 2019-03-03, end: 2019-03-04}}
root: "{root}"
"""


def make_domain(tmp_path: Path, paths: str = "*.nc", **overrides) -> Domain:
    path = tmp_path / "tiny.yaml"
    path.write_text(YAML.format(paths=paths, root=tmp_path / "root"))
    return load_domain(path, overrides=overrides)


def weather(count: int = 24, grid=NATIVE) -> np.ndarray:
    lat, lon = np.meshgrid(grid.latitude, grid.longitude, indexing="ij")
    wave = np.sin(np.radians(20 * lon + 7 * lat))
    day = 3 * np.sin(2 * np.pi * np.arange(count) / 24)
    return (310 - 0.6 * lat + wave + day[:, None, None]).astype(np.float32)


def write(path: Path, values, *, grid=NATIVE, times=None, name="t2m", units="K", expver=None):
    values = np.asarray(values, np.float32)
    times = START + np.arange(len(values)) * hours(1) if times is None else times
    dataset = xr.Dataset(
        {name: (("valid_time", "latitude", "longitude"), values, {"units": units})},
        {
            "valid_time": times,
            "latitude": ("latitude", grid.latitude, {"units": "degrees_north"}),
            "longitude": ("longitude", grid.longitude, {"units": "degrees_east"}),
        },
    )
    if expver is not None:
        dataset = dataset.assign_coords(expver=("valid_time", np.full(len(values), expver)))
    path.unlink(missing_ok=True)
    dataset.to_netcdf(path, engine="netcdf4")


def run(domain: Domain, **arguments):
    return ingest(domain, clock=lambda: NOW, **arguments)


def archive_of(domain: Domain) -> AnalysisArchive:
    return AnalysisArchive.open(Workspace.of(domain).analysis)


def statuses(domain: Domain) -> list[Status]:
    return [Status(code) for code in archive_of(domain).status]


def stored_bytes(root: Path) -> dict[str, bytes]:
    """Every object below a folder but locks."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix not in {".lock", ".writer"}
    }


def test_a_day_of_files_becomes_a_day_of_fields_on_the_domains_grid(tmp_path):
    write(tmp_path / "day.nc", weather())
    domain = make_domain(tmp_path)

    report = run(domain)

    assert (report.expected, report.written, report.already, report.absent) == (24, 24, 0, 0)
    assert not report.did_nothing
    with xr.open_zarr(Workspace.of(domain).analysis) as archive:
        assert archive["t2m"].shape == (24, 9, 7)
        assert set(archive["status"].values) == {Status.FINAL}
        # 50 N 4 W: 25 / 50 / 25 % of the neighbours east and west; the rows nearly so.
        row, column = 10, 8
        box = weather()[5, row - 1 : row + 2, column - 1 : column + 2].astype(float)
        by_hand = box @ [0.25, 0.5, 0.25] @ [0.25, 0.5, 0.25]
        value = archive["t2m"].sel(latitude=50, longitude=-4).isel(time=5)
        np.testing.assert_allclose(value, by_hand, atol=0.005)
        assert archive.attrs["synthetic"] == "false"
        assert "domain: tiny" in archive.attrs["lsntp_configuration"]
        assert archive["ingested_at"].values[0] == NOW


def test_a_second_run_does_nothing_and_leaves_every_byte(tmp_path):
    values = weather()
    values[3] = 0
    write(tmp_path / "day.nc", values)
    domain = make_domain(tmp_path)
    run(domain)
    before = stored_bytes(tmp_path / "root")

    report = ingest(domain)

    assert report.did_nothing
    assert (report.written, report.replaced, report.quarantined) == (0, 0, 0)
    assert (report.already, report.known_bad) == (23, 1)
    assert stored_bytes(tmp_path / "root") == before


def test_bad_hours_are_quarantined_and_the_rest_is_good(tmp_path):
    values = weather()
    values[2] -= 273.15
    values[5] = 0.0
    values[8, 4, 4] = np.nan
    values[11] = values[11, ::-1]
    times = START + np.arange(24) * hours(1)
    keep = np.arange(24) != 14  # hour 14 is missing
    write(tmp_path / "a.nc", values[keep], times=times[keep])
    write(tmp_path / "b.nc", values[17:18] + 1, times=times[17:18])  # hour 17 comes twice
    domain = make_domain(tmp_path)

    report = run(domain)

    expected = [Status.FINAL] * 24
    for hour in (2, 5, 8, 11, 17):
        expected[hour] = Status.QUARANTINED
    expected[14] = Status.MISSING
    assert statuses(domain) == expected
    assert (report.written, report.quarantined, report.absent) == (18, 6, 1)
    fields = archive_of(domain).read(times)
    is_nan = np.isnan(fields).all(axis=(1, 2))
    np.testing.assert_array_equal(is_nan, [status != Status.FINAL for status in expected])
    assert not np.isnan(fields[~is_nan]).any()

    entries = Quarantine(Workspace.of(domain).quarantine).entries()
    reasons = {int((e.rejection.time - START) / hours(1)): e.rejection.reasons for e in entries}
    assert "degrees Celsius" in reasons[2][0]
    assert "zero-filled" in reasons[5][0]
    assert "NaN" in reasons[8][0]
    assert "upside down" in reasons[11][0]
    assert "2 with different content" in reasons[17][0]
    assert len(entries) == 6

    assert run(domain).did_nothing
    assert statuses(domain) == expected


def test_a_mended_file_fills_what_was_quarantined_or_missing(tmp_path):
    values = weather()
    values[5] = 0.0
    times = START + np.arange(24) * hours(1)
    keep = np.arange(24) != 14
    write(tmp_path / "a.nc", values[keep], times=times[keep])
    domain = make_domain(tmp_path)
    run(domain)

    write(tmp_path / "a.nc", weather())
    report = run(domain)

    assert (report.written, report.already, report.quarantined) == (2, 22, 0)
    assert set(statuses(domain)) == {Status.FINAL}
    assert len(Quarantine(Workspace.of(domain).quarantine).entries()) == 1


def test_a_good_field_in_a_new_file_is_taken_though_the_bad_one_stays(tmp_path):
    values = weather()
    values[5] = 0.0
    write(tmp_path / "a.nc", values)
    domain = make_domain(tmp_path)
    run(domain)
    assert statuses(domain)[5] == Status.QUARANTINED
    write(tmp_path / "b.nc", weather()[5:6], times=[START + hours(5)])
    report = run(domain)
    assert (report.written, report.quarantined) == (1, 0)
    assert set(statuses(domain)) == {Status.FINAL}


def test_wider_limits_give_rejected_fields_another_chance(tmp_path):
    values = weather()
    values[5, 3, 3] = 345.0
    values[7, 3, 3] = 360.0
    write(tmp_path / "a.nc", values)
    run(make_domain(tmp_path))
    wider = make_domain(tmp_path, **{"quality.maximum_k": 350})

    report = run(wider)

    assert (report.written, report.quarantined, report.known_bad) == (1, 0, 1)
    assert statuses(wider)[5] == Status.FINAL
    assert statuses(wider)[7] == Status.QUARANTINED
    entries = Quarantine(Workspace.of(wider).quarantine).entries()
    assert "180..350 K" in entries[1].rejection.reasons[0]
    before = stored_bytes(tmp_path / "root")
    assert run(wider).did_nothing
    assert stored_bytes(tmp_path / "root") == before


def test_a_quarantined_field_carries_the_configuration_that_judged_it(tmp_path):
    write(tmp_path / "a.nc", weather() * 0)
    domain = make_domain(tmp_path)
    run(domain)
    (path, *_) = Workspace.of(domain).quarantine.glob("*/reasons.json")
    assert json.loads(path.read_text())["lsntp_configuration"] == domain.to_yaml()


def test_two_cuts_of_one_preliminary_hour_do_not_take_turns(tmp_path):
    write(tmp_path / "a.nc", weather(), expver="0005")
    narrow = regular_grid(north=59, south=41, west=-11, east=3, spacing=1)
    write(tmp_path / "b.nc", weather(24)[:, 1:-1, 1:-1], grid=narrow, expver="0005")
    domain = make_domain(tmp_path)
    assert run(domain).written == 24
    before = stored_bytes(tmp_path / "root")
    assert run(domain).did_nothing
    assert stored_bytes(tmp_path / "root") == before


def test_removing_one_of_two_contradicting_files_cures_the_hour(tmp_path):
    write(tmp_path / "a.nc", weather())
    write(tmp_path / "b.nc", weather(2)[1:] + 1, times=[START + hours(1)])
    domain = make_domain(tmp_path)
    run(domain)
    assert statuses(domain)[1] == Status.QUARANTINED
    (tmp_path / "b.nc").unlink()
    assert run(domain).written == 1
    assert set(statuses(domain)) == {Status.FINAL}


def test_hours_in_two_steps_equal_hours_in_one(tmp_path):
    write(tmp_path / "a.nc", weather(48))
    once = make_domain(tmp_path, root=str(tmp_path / "once"))
    run(once)
    twice = make_domain(tmp_path, root=str(tmp_path / "twice"))
    run(twice, period=Period(START + hours(30), START + hours(48)))
    report = run(twice, period=Period(START, START + hours(48)))
    assert (report.written, report.already) == (30, 18)
    xr.testing.assert_identical(
        archive_of(once).dataset().drop_attrs().load(),
        archive_of(twice).dataset().drop_attrs().load(),
    )


def test_preliminary_hours_are_replaced_by_final_ones(tmp_path):
    write(tmp_path / "a.nc", weather(), expver="0005")
    domain = make_domain(tmp_path)
    run(domain)
    assert set(statuses(domain)) == {Status.PRELIMINARY}
    assert run(domain).did_nothing

    values = weather()
    values[3] += 0.5
    values[4] = 0.0
    write(tmp_path / "a.nc", values, expver="0001")
    report = run(domain)
    assert (report.replaced, report.written, report.quarantined) == (23, 0, 1)
    assert report.largest_change_k == pytest.approx(0.5, abs=1e-4)
    # A bad final field does not take away the preliminary one.
    assert [h for h, s in enumerate(statuses(domain)) if s == Status.PRELIMINARY] == [4]
    assert run(domain).did_nothing


def test_fields_on_another_native_grid_are_quarantined(tmp_path):
    write(tmp_path / "a.nc", weather())
    domain = make_domain(tmp_path)
    run(domain)
    finer = regular_grid(north=60, south=40, west=-12, east=4, spacing=0.5)
    write(
        tmp_path / "b.nc",
        weather(2, finer),
        grid=finer,
        times=START + np.array([24, 25]) * hours(1),
    )
    report = run(domain)
    assert (report.written, report.quarantined) == (0, 2)
    assert statuses(domain)[24:] == [Status.QUARANTINED] * 2
    entry = Quarantine(Workspace.of(domain).quarantine).entries()[0]
    assert "grid of the earlier fields" in entry.rejection.reasons[0]


def test_a_lone_wrong_hour_is_found_by_the_archived_days(tmp_path):
    write(tmp_path / "a.nc", weather(24))
    domain = make_domain(tmp_path)
    run(domain)
    write(tmp_path / "b.nc", weather(25)[24:, ::-1], times=[START + hours(24)])
    write(tmp_path / "c.nc", weather(26)[25:] - 60, times=[START + hours(25)])
    for hour, word in ((24, "upside down"), (25, "usual field")):
        report = run(domain, period=Period(START + hours(hour), START + hours(hour + 1)))
        assert report.quarantined == 1
        entry = Quarantine(Workspace.of(domain).quarantine).entries()[-1]
        assert word in entry.rejection.reasons[0]


def test_the_first_hours_may_all_be_bad(tmp_path):
    write(tmp_path / "a.nc", np.zeros((3, *NATIVE.shape)))
    domain = make_domain(tmp_path)
    assert run(domain).quarantined == 3
    assert statuses(domain) == [Status.QUARANTINED] * 3
    write(tmp_path / "a.nc", weather(3))
    assert run(domain).written == 3
    assert "lsntp_source_grid" in archive_of(domain).attrs


def test_a_period_the_source_knows_nothing_of_is_absent(tmp_path):
    write(tmp_path / "a.nc", weather())
    domain = make_domain(tmp_path)
    report = run(domain, period=Period(START + hours(100), START + hours(110)))
    assert (report.expected, report.absent) == (10, 10)
    assert report.did_nothing
    assert not (tmp_path / "root").exists()


def test_synthetic_fields_are_labelled(tmp_path):
    write(tmp_path / "a.nc", weather())
    make_domain(tmp_path)
    domain = load_domain(
        tmp_path / "tiny.yaml",
        overrides={"source": {"name": "synthetic", "seed": 1, "spacing": 1.0}},
    )
    report = run(domain, period=Period(START, START + hours(30)))
    assert report.written == 30
    assert archive_of(domain).attrs["synthetic"] == "true"
    assert run(domain, period=Period(START, START + hours(30))).did_nothing


# --- faults of the source: nothing stored is changed -----------------------------------------


def broken(path: Path) -> None:
    path.write_bytes(b"GRIB and nothing behind it")


SOURCE_FAULTS = {
    "missing file": (lambda folder: None, "gone-*.nc", SourceDataError, "found none"),
    "unreadable file": (lambda folder: broken(folder / "x.grib"), "x.grib", SourceDataError, "x.g"),
    "wrong variable": (
        lambda folder: write(folder / "x.nc", weather(), name="d2m"),
        "x.nc",
        SourceDataError,
        "d2m",
    ),
    "wrong units": (
        lambda folder: write(folder / "x.nc", weather(), units="m s-1"),
        "x.nc",
        SourceDataError,
        "m s-1",
    ),
    "domain outside the data": (
        lambda folder: write(
            folder / "x.nc",
            weather(24)[:, 5:],
            grid=regular_grid(north=55, south=40, west=-12, east=4, spacing=1),
        ),
        "x.nc",
        DomainError,
        "55",
    ),
    "nothing after the start": (
        lambda folder: write(
            folder / "x.nc", weather(2), times=START - np.array([2, 1]) * hours(1)
        ),
        "x.nc",
        SourceDataError,
        "archive.start",
    ),
}


@pytest.mark.parametrize("fault", SOURCE_FAULTS)
@pytest.mark.parametrize("is_filled", [False, True], ids=["new", "filled"])
def test_a_fault_of_the_source_changes_nothing_stored(tmp_path, fault, is_filled):
    make, paths, error, words = SOURCE_FAULTS[fault]
    if is_filled:
        write(tmp_path / "good.nc", weather(5))
        run(make_domain(tmp_path, "good.nc"))
    before = stored_bytes(tmp_path / "root")
    make(tmp_path)

    with pytest.raises(error, match=words):
        run(make_domain(tmp_path, paths))

    assert stored_bytes(tmp_path / "root") == before


def test_a_period_before_the_archive_is_refused_with_the_remedy(tmp_path):
    write(tmp_path / "a.nc", weather())
    with pytest.raises(DomainError, match=r"another name and an earlier archive\.start"):
        run(make_domain(tmp_path), period=Period(START - hours(24), START + hours(1)))


@pytest.mark.parametrize(
    "overrides",
    [{"grid.spacing": 4}, {"archive.start": "2019-02-01"}, {"cadence_h": 2}],
    ids=["grid", "start", "cadence"],
)
def test_a_domain_that_was_changed_does_not_fit_its_archive(tmp_path, overrides):
    write(tmp_path / "a.nc", weather())
    run(make_domain(tmp_path))
    before = stored_bytes(tmp_path / "root")
    with pytest.raises(ArchiveError, match="give the domain a new name"):
        run(make_domain(tmp_path, **overrides))
    assert stored_bytes(tmp_path / "root") == before


# --- faults of the storage -------------------------------------------------------------------


def test_a_root_that_cannot_be_written_is_a_storage_error(tmp_path):
    write(tmp_path / "a.nc", weather())
    (tmp_path / "root").write_text("a file where a folder should be")
    with pytest.raises(StorageError):
        run(make_domain(tmp_path))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB, where the machine lets us mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("this machine does not permit mounting a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def readable(domain: Domain) -> dict[str, np.ndarray]:
    with xr.open_zarr(Workspace.of(domain).analysis) as archive:
        return {name: archive[name].values for name in ("time", "t2m", "status", "source_digest")}


def test_a_full_disk_is_a_storage_error_and_what_was_stored_stays(tmp_path, small_disk):
    write(tmp_path / "a.nc", weather(20))
    domain = make_domain(tmp_path, root=str(small_disk))
    run(domain)
    before = readable(domain)
    filler = small_disk / "filler"
    filler.write_bytes(b"0" * (shutil.disk_usage(small_disk).free))
    write(tmp_path / "a.nc", np.concatenate([weather(40), np.zeros((1, *NATIVE.shape))]))

    with pytest.raises(StorageError):
        run(domain)

    for name, values in readable(domain).items():
        np.testing.assert_array_equal(values[:20], before[name])
    filler.unlink()
    assert run(domain).quarantined == 1
    assert statuses(domain) == [Status.FINAL] * 40 + [Status.QUARANTINED]


def test_a_read_only_root_is_a_storage_error_and_what_was_stored_stays(tmp_path, small_disk):
    write(tmp_path / "a.nc", weather(5))
    domain = make_domain(tmp_path, root=str(small_disk))
    run(domain)
    before = stored_bytes(small_disk)
    write(tmp_path / "a.nc", weather(20))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    with pytest.raises(StorageError):
        run(domain)

    assert stored_bytes(small_disk) == before


def test_a_run_killed_between_two_blocks_is_completed_by_the_next(tmp_path, monkeypatch):
    write(tmp_path / "a.nc", weather(48))
    monkeypatch.setattr(lsntp.ingest, "BLOCK", hours(24))
    domain = make_domain(tmp_path)
    publish = AnalysisArchive.publish

    def die_on_the_second(self, frames, **arguments):
        if frames["time"].values[0] > START:
            raise KeyboardInterrupt
        return publish(self, frames, **arguments)

    with monkeypatch.context() as patched:
        patched.setattr(AnalysisArchive, "publish", die_on_the_second)
        with pytest.raises(KeyboardInterrupt):
            run(domain)
    assert statuses(domain) == [Status.FINAL] * 24
    report = run(domain)
    assert (report.already, report.written) == (24, 24)


# --- where the regridding runs ----------------------------------------------------------------


def places_of_regridding(monkeypatch) -> set[str]:
    """Where weights are applied from now on: addresses of Dask workers, or kinds of threads."""
    places: set[str] = set()
    original = ConservativeWeights.apply

    def apply(self, frames):
        try:
            places.add(get_worker().address)
        except ValueError:
            places.add(threading.current_thread().name.split("-")[0])
        return original(self, frames)

    monkeypatch.setattr(ConservativeWeights, "apply", apply)
    return places


def test_regridding_runs_on_local_threads_unless_told_otherwise(tmp_path, monkeypatch):
    write(tmp_path / "a.nc", weather(48))
    places = places_of_regridding(monkeypatch)
    run(make_domain(tmp_path))
    assert places == {"ThreadPoolExecutor"}


def test_a_dask_cluster_does_the_regridding_and_gives_the_same_bytes(tmp_path, monkeypatch):
    write(tmp_path / "a.nc", weather(48))
    run(make_domain(tmp_path, root=str(tmp_path / "local")))
    places = places_of_regridding(monkeypatch)
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        domain = make_domain(
            tmp_path,
            root=str(tmp_path / "cluster"),
            **{"dask.cluster": cluster.scheduler_address},
        )
        run(domain)
        assert places == {worker.worker_address for worker in cluster.workers.values()}
    xr.testing.assert_identical(
        xr.open_zarr(tmp_path / "local/analysis/tiny.zarr").drop_attrs().load(),
        xr.open_zarr(tmp_path / "cluster/analysis/tiny.zarr").drop_attrs().load(),
    )


def test_a_cluster_that_does_not_answer_is_named_and_nothing_is_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(lsntp.dask_cluster, "CONNECT_TIMEOUT_S", 0.2)
    write(tmp_path / "a.nc", weather())
    with pytest.raises(ClusterError, match=r"tcp://127\.0\.0\.1:9.*dask\.cluster to local"):
        run(make_domain(tmp_path, **{"dask.cluster": "tcp://127.0.0.1:9"}))
    assert not (tmp_path / "root").exists()


# --- real data -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "count", "shape"),
    [("era5-uk", 744, (33, 49)), ("ncep-north-america", 1940, (25, 53))],
)
def test_every_hour_of_the_real_files_is_accepted_bit_for_bit(
    shared_data, tmp_path, monkeypatch, preset, count, shape
):
    monkeypatch.setenv("LSNTP_DATA", str(shared_data))
    domain = load_domain(preset, overrides={"root": str(tmp_path / "root")})
    report = run(domain)
    assert (report.expected, report.written, report.quarantined) == (count, count, 0)
    archive = archive_of(domain)
    assert archive.grid.shape == shape
    if preset == "ncep-north-america":
        with xr.open_dataset(domain.source.paths[0]) as file:
            values = file["air"].values.astype(np.float32)
        np.testing.assert_array_equal(archive.read(archive.times), values)
    assert run(domain).did_nothing
