"""NCEP/NCAR Reanalysis 1 from a file host: what is asked for when, and what it makes of answers.

The files are the real excerpt, cut into years; see :mod:`tests.standins.reanalysis_files`.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from lsntp.config import Domain
from lsntp.errors import ConfigError, DomainError, SourceDataError, SourceUnavailableError
from lsntp.names import Status
from lsntp.sources import Upstream
from lsntp.sources.ncep_r1 import NcepR1
from lsntp.times import LAST_INSTANT, Period, parse_time
from lsntp.workspace import Workspace
from tests.lsntp.sources.ncep_r1.reading import (
    FIRST_YEAR,
    SECOND_YEAR,
    direct,
    opened,
    steps,
)
from tests.standins.file_host import FileHost
from tests.standins.file_host import Status as Answer
from tests.standins.reanalysis_files import yearly_file


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
