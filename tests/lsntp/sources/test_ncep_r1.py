"""NCEP/NCAR Reanalysis 1 from a file host: what is asked for when, and what it makes of answers.

The files are the real excerpt, cut into years; see :mod:`tests.standins.reanalysis_files`.
"""

import itertools
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from lsntp.config import Domain, load_domain
from lsntp.errors import ConfigError, DomainError, SourceDataError, SourceUnavailableError
from lsntp.ingest import ingest
from lsntp.names import Status
from lsntp.sources import Upstream, open_source
from lsntp.sources.ncep_r1 import NcepR1
from lsntp.times import LAST_INSTANT, Period, Times, parse_time
from lsntp.workspace import Workspace
from tests.lsntp.ingest_files import archive_of, stored_bytes
from tests.standins.file_host import Cut, Fault, FileHost, Flip, Page, Stall
from tests.standins.file_host import Status as Answer
from tests.standins.reanalysis_files import EXCERPT, yearly_file

YAML = """
domain: {name}
source: {{name: ncep_r1, variable: {variable}, hosts: [{hosts}], retries: 1, pause_s: 0.01}}
grid: {{kind: regular, north: 55, south: 35, west: -120, east: -90, spacing: 2.5}}
cadence_h: 6
archive: {{start: 2013-12-25}}
split:
  train: {{start: 2013-12-25, end: 2014-01-01}}
  validation: {{start: 2014-01-01, end: 2014-01-05}}
  test: {{start: 2014-01-05, end: 2014-01-10}}
root: "{root}"
"""
LATE = parse_time("2014-05-10")
"""Long after the last time of the excerpt, 2014-04-30T18."""
FIRST_YEAR, SECOND_YEAR = "/surface/air.sig995.2013.nc", "/surface/air.sig995.2014.nc"
STEP = np.timedelta64(6, "h")
HELD = Period.parse("2013-12-25", "2014-05-01")
"""What the two files hold of the domain's axis."""


@pytest.fixture(scope="session")
def excerpt(shared_data: Path) -> Path:
    return shared_data / EXCERPT


@pytest.fixture(scope="session")
def years(excerpt: Path) -> dict[int, bytes]:
    return {year: yearly_file(excerpt, year) for year in (2013, 2014)}


@pytest.fixture
def host(years: dict[int, bytes]) -> Iterator[FileHost]:
    with FileHost().running() as running:
        running.put(FIRST_YEAR, years[2013])
        running.put(SECOND_YEAR, years[2014])
        yield running


@pytest.fixture
def domain_of(tmp_path: Path) -> Callable[..., Domain]:
    def make(*hosts: FileHost, name: str = "plains", variable: str = "air.sig995", **overrides):
        path = tmp_path / f"{name}.yaml"
        roots = ", ".join(host.url for host in hosts)
        path.write_text(
            YAML.format(name=name, variable=variable, hosts=roots, root=tmp_path / "root")
        )
        return load_domain(path, overrides=overrides)

    return make


def opened(domain: Domain, now: np.datetime64 = LATE) -> NcepR1:
    source = open_source(domain, clock=lambda: now)
    assert isinstance(source, NcepR1)
    return source


def steps(first: str, end: str) -> Times:
    return np.arange(parse_time(first), parse_time(end), STEP)


def direct(excerpt: Path, time: str, latitude: float, longitude: float) -> float:
    """A value of the real file, by the netCDF library, K."""
    with netCDF4.Dataset(excerpt) as dataset:
        hour = netCDF4.date2num(
            parse_time(time).astype("datetime64[s]").astype(object),
            dataset["time"].units,
            dataset["time"].calendar,
        )
        row = list(dataset["lat"][:]).index(latitude)
        column = list(dataset["lon"][:]).index(longitude % 360)
        return float(dataset["air"][list(dataset["time"][:]).index(hour), row, column])


def test_it_is_an_upstream_that_publishes_after_three_days(
    host: FileHost, domain_of: Callable[..., Domain]
) -> None:
    source = opened(domain_of(host))
    assert isinstance(source, Upstream)
    assert source.name == "ncep_r1"
    assert not source.is_synthetic
    assert source.publication_latency == np.timedelta64(3, "D")
    assert source.pending(Period.parse("2013-12-25", "2014-02-01")).size == 0


def test_what_is_worth_asking_for_is_known_without_asking(
    host: FileHost, domain_of: Callable[..., Domain]
) -> None:
    source = opened(domain_of(host), parse_time("2014-01-06T07"))
    ever = Period(parse_time("1900-01-01"), parse_time(LAST_INSTANT))
    times = source.available(ever)
    assert times[0] == parse_time("1948-01-01")  # the first hour of the reanalysis
    assert times[-1] == parse_time("2014-01-03T06")  # three days and an hour old
    assert np.array_equal(
        source.available(Period.parse("2013-12-31T12", "2014-01-01T06")),
        steps("2013-12-31T12", "2014-01-01T06"),
    )
    assert host.requests == []


@pytest.mark.parametrize(
    "storage",
    [
        {},
        {"unpacked": True},
        {"level": True},
        {"data_model": "NETCDF3_CLASSIC"},
        {"data_model": "NETCDF4_CLASSIC", "level": True, "unpacked": True},
    ],
    ids=["packed", "single precision", "level of one", "netCDF-3", "level, single, classic"],
)
def test_fields_are_those_of_the_real_file_however_they_are_stored(
    excerpt: Path, host: FileHost, domain_of: Callable[..., Domain], storage: dict[str, object]
) -> None:
    host.put(FIRST_YEAR, yearly_file(excerpt, 2013, **storage))
    domain = domain_of(host)
    times = steps("2013-12-31T12", "2014-01-01T12")
    (frames,) = opened(domain).fetch(times, domain.target_grid)
    assert np.array_equal(frames.time, times)
    assert (frames.status == Status.FINAL).all()
    assert frames.attrs["source"] == "ncep_r1"
    assert frames.attrs["files"] == "air.sig995.2013.nc, air.sig995.2014.nc"
    for time in ("2013-12-31T18", "2014-01-01T06"):
        found = frames.t2m.sel(time=parse_time(time), latitude=40, longitude=-105).item()
        assert found == pytest.approx(direct(excerpt, time, 40, -105), abs=1e-4)


def test_a_gaussian_file_fills_a_domain_on_its_own_grid(
    excerpt: Path, host: FileHost, domain_of: Callable[..., Domain]
) -> None:
    """The axes are those of the real T62 grid; the values are interpolated from the excerpt."""
    with netCDF4.Dataset(excerpt.parents[1] / "static/ncep_gauss_lsmask.19294.nc") as mask:
        axes = np.asarray(mask["lat"][:]), np.asarray(mask["lon"][:])
    content = yearly_file(excerpt, 2013, skip=1450, axes=axes)
    assert netCDF4.Dataset("in memory", memory=content)["air"].shape == (10, 94, 192)
    host.put("/surface_gauss/air.2m.gauss.2014.nc", yearly_file(excerpt, 2014, count=20, axes=axes))
    box = {"north": 54.3, "south": 40.0, "west": -120.0, "east": -100.0}
    domain = domain_of(host, variable="air.2m.gauss", grid={"kind": "gaussian", **box})
    (frames,) = opened(domain).fetch(steps("2014-01-02", "2014-01-03"), domain.target_grid)
    grid = domain.target_grid
    inner = frames.t2m.sel(
        latitude=grid.latitude, longitude=grid.longitude, method="nearest", tolerance=1e-3
    )
    assert inner.shape == (4, *grid.shape)
    # 103.125 W lies 3/4 of the way from 105 to 102.5 W, 48.5705 N 0.42820 of that from 50 to 47.5.
    west, east = (
        [direct(excerpt, "2014-01-02T06", lat, lon) for lat in (50, 47.5)] for lon in (-105, -102.5)
    )
    # The netCDF file stores 48.571 N.
    north, south = (0.25 * a + 0.75 * b for a, b in zip(west, east, strict=True))
    down = (50 - 48.571) / 2.5
    found = inner.sel(time=parse_time("2014-01-02T06"), longitude=-103.125).sel(
        latitude=48.571, method="nearest"
    )
    assert found.item() == pytest.approx((1 - down) * north + down * south, abs=0.006)


def test_a_complete_year_is_asked_for_once_and_never_again(
    host: FileHost, domain_of: Callable[..., Domain]
) -> None:
    domain = domain_of(host)
    times = steps("2013-12-25", "2014-01-01")
    for _ in range(3):
        opened(domain).fetch(times, domain.target_grid)
    assert [request.status for request in host.asked(FIRST_YEAR)] == [200]
    folder = Workspace.of(domain).work / "ncep_r1"
    assert {path.name for path in folder.iterdir() if path.suffix != ".lock"} == {
        "air.sig995.2013.nc",
        "air.sig995.2013.nc.json",
    }


def test_a_growing_year_is_looked_after_once_a_run_and_fetched_when_it_grew(
    excerpt: Path, host: FileHost, domain_of: Callable[..., Domain]
) -> None:
    domain = domain_of(host)
    host.put(SECOND_YEAR, yearly_file(excerpt, 2014, count=12))  # up to 01-03T18
    early, later = steps("2014-01-01", "2014-01-04"), steps("2014-01-04", "2014-01-06")

    def held(source: NcepR1) -> int:
        found = [source.fetch(times, domain.target_grid) for times in (early, later)]
        return sum(frames.sizes["time"] for frames in itertools.chain(*found))

    assert held(opened(domain)) == 12
    assert held(opened(domain)) == 12
    assert [request.status for request in host.asked(SECOND_YEAR)] == [200, 304]
    host.put(SECOND_YEAR, yearly_file(excerpt, 2014, count=16))
    assert held(opened(domain)) == 16
    assert [request.status for request in host.asked(SECOND_YEAR)] == [200, 304, 200]


def test_what_a_file_holds_early_is_available_early(
    excerpt: Path, host: FileHost, domain_of: Callable[..., Domain]
) -> None:
    domain = domain_of(host)
    host.put(SECOND_YEAR, yearly_file(excerpt, 2014, count=20))  # up to 01-05T18
    now = parse_time("2014-01-06")
    period = Period.parse("2014-01-01", "2014-01-10")
    first = opened(domain, now)
    assert np.array_equal(first.available(period), steps("2014-01-01", "2014-01-03T06"))
    first.fetch(first.available(period), domain.target_grid)
    assert np.array_equal(opened(domain, now).available(period), steps("2014-01-01", "2014-01-06"))


def test_times_past_their_hour_that_no_host_has_are_holes_and_younger_ones_are_not(
    host: FileHost, domain_of: Callable[..., Domain]
) -> None:
    domain = domain_of(host)
    now = parse_time("2014-05-04T06")
    source = opened(domain, now)
    frames = source.fetch(steps("2014-04-30T12", "2014-05-03"), domain.target_grid)
    assert [list(f.time.values) for f in frames] == [list(steps("2014-04-30T12", "2014-05-01"))]
    holes = source.holes()
    assert [hole.time for hole in holes] == list(steps("2014-05-01", "2014-05-01T12"))
    assert "its last is 2014-04-30T18:00Z" in holes[0].why


def test_a_year_that_is_nowhere_is_not_yet_there_and_after_its_hour_a_hole(
    host: FileHost, domain_of: Callable[..., Domain]
) -> None:
    with FileHost().running() as other:
        host.remove(SECOND_YEAR)
        domain = domain_of(host, other)
        new_year = steps("2014-01-01", "2014-01-02")
        early = opened(domain, parse_time("2014-01-03"))
        assert early.fetch(new_year, domain.target_grid) == []
        assert early.holes() == []
        late = opened(domain, parse_time("2014-01-04T06"))
        assert late.fetch(new_year, domain.target_grid) == []
        assert [hole.time for hole in late.holes()] == list(new_year[:2])
        assert {hole.why for hole in late.holes()} == {"no host has air.sig995.2014.nc"}
        assert len(host.asked(SECOND_YEAR)) == len(other.asked(SECOND_YEAR)) == 2


def test_the_second_host_is_asked_when_the_first_fails_for_a_while(
    host: FileHost, years: dict[int, bytes], domain_of: Callable[..., Domain]
) -> None:
    with FileHost().running() as mirror:
        mirror.put(SECOND_YEAR, years[2014])
        host.fail(SECOND_YEAR, *[Answer(503)] * 2)
        domain = domain_of(host, mirror)
        (frames,) = opened(domain).fetch(steps("2014-01-01", "2014-01-02"), domain.target_grid)
        assert frames.sizes["time"] == 4
        assert len(mirror.asked(SECOND_YEAR)) == 1


def test_a_silent_host_proves_no_hole(
    host: FileHost, domain_of: Callable[..., Domain], years: dict[int, bytes]
) -> None:
    with FileHost().running() as mirror:  # it has no files
        host.fail(SECOND_YEAR, *[Answer(503)] * 2)
        domain = domain_of(host, mirror)
        source = opened(domain)
        with pytest.raises(SourceUnavailableError, match="503"):
            source.fetch(steps("2014-01-01", "2014-01-02"), domain.target_grid)
        assert source.holes() == []


def test_with_no_host_the_files_on_disk_go_on_serving(
    excerpt: Path,
    host: FileHost,
    domain_of: Callable[..., Domain],
    caplog: pytest.LogCaptureFixture,
) -> None:
    domain = domain_of(host)
    host.put(SECOND_YEAR, yearly_file(excerpt, 2014, count=12))
    opened(domain).fetch(steps("2014-01-01", "2014-01-02"), domain.target_grid)
    host.fail(SECOND_YEAR, *[Answer(503)] * 4)
    source = opened(domain)
    (frames,) = source.fetch(steps("2014-01-01", "2014-01-05"), domain.target_grid)
    assert frames.sizes["time"] == 12
    assert source.holes() == []
    assert "503" in caplog.text
    with pytest.raises(SourceUnavailableError):
        opened(domain).fetch(steps("2014-01-05", "2014-01-06"), domain.target_grid)


@pytest.mark.parametrize("data_model", ["NETCDF4", "NETCDF3_CLASSIC"])
@pytest.mark.parametrize("with_length", [True, False], ids=["right length", "no length"])
def test_a_truncated_answer_is_caught_and_fetched_again(
    excerpt: Path,
    host: FileHost,
    domain_of: Callable[..., Domain],
    data_model: str,
    with_length: bool,
) -> None:
    content = yearly_file(excerpt, 2014, count=40, data_model=data_model)
    host.put(SECOND_YEAR, content)
    host.fail(SECOND_YEAR, Cut(after=len(content) - 700, with_length=with_length))
    domain = domain_of(host)
    (frames,) = opened(domain).fetch(steps("2014-01-01", "2014-01-11"), domain.target_grid)
    assert frames.sizes["time"] == 40
    assert not frames.t2m.isnull().any()
    assert (Workspace.of(domain).work / "ncep_r1/air.sig995.2014.nc").read_bytes() == content
    assert len(host.asked(SECOND_YEAR)) == 2


@pytest.mark.parametrize(
    "faults",
    [[Page()] * 2, [Flip(at=0)] * 2, [Answer(403)]],
    ids=["HTML", "wrong magic", "forbidden"],
)
def test_what_is_no_file_of_the_year_never_gets_its_name(
    host: FileHost, domain_of: Callable[..., Domain], faults: list[Fault]
) -> None:
    host.fail(SECOND_YEAR, *faults)
    domain = domain_of(host)
    with pytest.raises((SourceUnavailableError, SourceDataError)):
        opened(domain).fetch(steps("2014-01-01", "2014-01-02"), domain.target_grid)
    folder = Workspace.of(domain).work / "ncep_r1"
    assert [path for path in folder.iterdir() if path.suffix == ".nc"] == []
    (frames,) = opened(domain).fetch(steps("2014-01-01", "2014-01-02"), domain.target_grid)
    assert frames.sizes["time"] == 4


def test_a_page_of_html_is_called_by_its_name(
    host: FileHost, domain_of: Callable[..., Domain]
) -> None:
    host.fail(SECOND_YEAR, Page(), Page())
    domain = domain_of(host)
    with pytest.raises(SourceUnavailableError, match="an HTML page, usually the error message"):
        opened(domain).fetch(steps("2014-01-01", "2014-01-02"), domain.target_grid)


@pytest.mark.parametrize(("year", "skip"), [(2013, 0), (2014, 1)], ids=["other year", "no start"])
def test_a_file_with_other_times_than_its_name_says_is_refused(
    excerpt: Path, host: FileHost, domain_of: Callable[..., Domain], year: int, skip: int
) -> None:
    host.put(SECOND_YEAR, yearly_file(excerpt, year, count=40, skip=skip))
    domain = domain_of(host)
    with pytest.raises(SourceDataError, match="every step of 2014 up to the last one"):
        opened(domain).fetch(steps("2014-01-01", "2014-01-02"), domain.target_grid)


def test_space_made_for_later_times_is_not_taken_for_fields(
    excerpt: Path, host: FileHost, domain_of: Callable[..., Domain]
) -> None:
    domain = domain_of(host)
    host.put(SECOND_YEAR, yearly_file(excerpt, 2014, count=20, blank=(18, 19)))
    source = opened(domain)
    (frames,) = source.fetch(steps("2014-01-01", "2014-01-06"), domain.target_grid)
    assert frames.sizes["time"] == 18
    assert [hole.time for hole in source.holes()] == list(steps("2014-01-05T12", "2014-01-06"))
    host.put(SECOND_YEAR, yearly_file(excerpt, 2014, count=20))
    (frames,) = opened(domain).fetch(steps("2014-01-01", "2014-01-06"), domain.target_grid)
    assert frames.sizes["time"] == 20


def test_a_year_that_shrinks_upstream_does_not_replace_the_longer_copy(
    excerpt: Path, host: FileHost, domain_of: Callable[..., Domain]
) -> None:
    domain = domain_of(host)
    times = steps("2014-01-01", "2014-01-06")
    host.put(SECOND_YEAR, yearly_file(excerpt, 2014, count=20))
    opened(domain).fetch(times, domain.target_grid)
    host.put(SECOND_YEAR, yearly_file(excerpt, 2014, count=10))
    (frames,) = opened(domain).fetch(times, domain.target_grid)
    assert frames.sizes["time"] == 20


def test_a_changed_value_is_told_and_the_archive_keeps_what_was_final(
    excerpt: Path,
    host: FileHost,
    domain_of: Callable[..., Domain],
    caplog: pytest.LogCaptureFixture,
) -> None:
    domain = domain_of(host)
    host.put(SECOND_YEAR, yearly_file(excerpt, 2014, count=20))
    ingest(domain, period=HELD, clock=lambda: LATE)
    before = archive_of(domain).read(steps("2014-01-01", "2014-01-06"))
    host.put(SECOND_YEAR, yearly_file(excerpt, 2014, count=24, changes={2: 0.5, 6: -0.25}))
    with caplog.at_level(logging.WARNING):
        report = ingest(domain, period=HELD, clock=lambda: LATE)
    assert "2 analyses differ" in caplog.text
    assert "the first of 2014-01-01T12:00Z, by up to 0.50 K" in caplog.text
    assert (report.written, report.replaced, report.conflicts) == (4, 0, 0)
    assert np.array_equal(archive_of(domain).read(steps("2014-01-01", "2014-01-06")), before)


def test_a_tick_marks_what_no_host_has_and_takes_it_when_it_comes(
    excerpt: Path, host: FileHost, domain_of: Callable[..., Domain]
) -> None:
    domain = domain_of(host)
    host.put(SECOND_YEAR, yearly_file(excerpt, 2014, count=20))  # up to 01-05T18
    first = ingest(domain, clock=lambda: parse_time("2014-01-10"))
    assert (first.written, first.holes) == (48, 5)  # due are those up to 01-07T00
    assert archive_of(domain).status[-1] == Status.UPSTREAM_HOLE
    host.put(SECOND_YEAR, yearly_file(excerpt, 2014, count=30))
    second = ingest(domain, clock=lambda: parse_time("2014-01-11"))
    assert (second.written, second.holes) == (4 + 5, 0)
    assert (archive_of(domain).status == Status.FINAL).all()


def test_a_lost_or_damaged_note_costs_one_download_and_no_truth(
    host: FileHost, domain_of: Callable[..., Domain]
) -> None:
    domain = domain_of(host)
    times = steps("2013-12-25", "2013-12-26")
    (before,) = opened(domain).fetch(times, domain.target_grid)
    (Workspace.of(domain).work / "ncep_r1/air.sig995.2013.nc.json").write_text("{")
    (after,) = opened(domain).fetch(times, domain.target_grid)
    xr.testing.assert_identical(before, after)
    assert [request.status for request in host.asked(FIRST_YEAR)] == [200, 200]


def test_a_domain_outside_the_files_is_told_so(
    host: FileHost, domain_of: Callable[..., Domain]
) -> None:
    europe = {"kind": "regular", "north": 60, "south": 50, "west": 0, "east": 10, "spacing": 2.5}
    domain = domain_of(host, grid=europe)
    with pytest.raises(DomainError, match="Expected data that cover the domain"):
        opened(domain).fetch(steps("2014-01-01", "2014-01-02"), domain.target_grid)


def test_a_domain_whose_steps_never_meet_the_reanalysis_is_told_so(
    host: FileHost, domain_of: Callable[..., Domain]
) -> None:
    domain = domain_of(
        host, archive={"start": "2013-12-25T03"}, **{"split.train.start": "2013-12-25T03"}
    )
    with pytest.raises(SourceDataError, match="meet 00, 06, 12 and 18 UTC"):
        opened(domain).available(Period.parse("2014-01-01", "2014-01-02"))


@pytest.mark.parametrize(
    "root",
    [
        "http://downloads.psl.noaa.gov/Datasets",
        "https://name:word@downloads.psl.noaa.gov",
        "https://downloads.psl.noaa.gov/?token=1",
        "ftp://downloads.psl.noaa.gov",
        "downloads.psl.noaa.gov",
    ],
)
def test_roots_that_are_not_safe_are_refused_with_the_domain(
    host: FileHost, domain_of: Callable[..., Domain], root: str
) -> None:
    with pytest.raises(ConfigError, match="expected roots such as https://host/path"):
        domain_of(host, **{"source.hosts": [root]})


def files_domain(domain: Domain, folder: Path, years: dict[int, bytes]) -> Domain:
    """The same domain, of the same files on disk."""
    folder.mkdir()
    for year, content in years.items():
        (folder / f"air.sig995.{year}.nc").write_bytes(content)
    source = {"name": "files", "paths": [str(folder / "*.nc")]}
    root = str(folder.parent / "files-root")
    return Domain.model_validate(domain.model_dump() | {"source": source, "root": root})


def contents(domain: Domain) -> dict[str, bytes]:
    """Every stored object but the arrays and attributes that say when and from where."""
    stored = stored_bytes(Workspace.of(domain).analysis)
    return {
        name: content
        for name, content in stored.items()
        if not name.startswith("ingested_at") and name != "zarr.json"
    }


def test_the_command_line_ingests_from_a_host_what_it_does_from_the_same_files(
    host: FileHost, years: dict[int, bytes], domain_of: Callable[..., Domain], tmp_path: Path
) -> None:
    host.fail(SECOND_YEAR, Answer(503), Cut(after=100_000))
    domain = domain_of(host, **{"source.retries": 3})
    (tmp_path / "resolved.yaml").write_text(domain.to_yaml())
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    command = [sys.executable, "-m", "flows", "ingest", str(tmp_path / "resolved.yaml")]
    done = subprocess.run(
        [*command, "--to", "2014-02-10"],
        env=kept | {"HOME": str(tmp_path), "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "188 hours written" in done.stdout  # 47 days of four
    same = files_domain(domain, tmp_path / "files", years)
    ingest(same, period=Period(same.start, parse_time("2014-02-10")), clock=lambda: LATE)
    assert contents(domain) == contents(same)
    assert len(contents(domain)) > 5


CHILD = """
import sys
from lsntp.config import load_domain
from lsntp.ingest import ingest
from lsntp.times import Period, parse_time
held = Period.parse("2013-12-25", "2014-05-01")
ingest(load_domain(sys.argv[1]), period=held, clock=lambda: parse_time("2014-05-10"))
"""


def test_after_a_kill_during_a_download_the_next_run_completes_it(
    host: FileHost, years: dict[int, bytes], domain_of: Callable[..., Domain], tmp_path: Path
) -> None:
    host.fail(SECOND_YEAR, Stall(after=300_000))
    domain = domain_of(host)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "plains.yaml")], stderr=subprocess.PIPE
    )
    try:
        assert host.stalled.wait(120)
        part = Workspace.of(domain).work / "ncep_r1/air.sig995.2014.nc.part"
        while not part.exists() or part.stat().st_size < 300_000:
            assert child.poll() is None
            host.go_on.wait(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    host.go_on.set()
    report = ingest(domain, period=HELD, clock=lambda: LATE)
    assert host.asked(SECOND_YEAR)[-1].headers["Range"] == "bytes=300000-"
    assert host.asked(SECOND_YEAR)[-1].status == 206
    assert not part.exists()
    same = files_domain(domain, tmp_path / "files", years)
    ingest(same, period=HELD, clock=lambda: LATE)
    assert contents(domain) == contents(same)
    assert report.written == (7 + 120) * 4
