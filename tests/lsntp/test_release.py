"""Release and discard of quarantined fields, through real ingests of real files."""

import numpy as np
import pytest
import xarray as xr

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.quarantine import Quarantine
from lsntp.config import load_domain
from lsntp.errors import ArchiveError, ArchiveNotFoundError, DomainError
from lsntp.ingest import ingest
from lsntp.names import Status
from lsntp.release import discard, inspect, release
from lsntp.times import hours
from lsntp.workspace import Workspace
from tests.lsntp.ingest_files import NATIVE, NOW, START, YAML

HOT = 5
"""The hour with one cell at 345 K, above the limit of 340 K."""


def weather(count=12):
    lat, lon = np.meshgrid(NATIVE.latitude, NATIVE.longitude, indexing="ij")
    wave = np.sin(np.radians(20 * lon + 7 * lat))
    day = 3 * np.sin(2 * np.pi * np.arange(count) / 24)
    return (310 - 0.6 * lat + wave + day[:, None, None]).astype(np.float32)


def hot():
    values = weather()
    values[HOT, 10, 8] = 345.0  # 50 N 4 W
    return values


def write(path, values, *, times=None, expver=None):
    times = START + np.arange(len(values)) * hours(1) if times is None else times
    dataset = xr.Dataset(
        {"t2m": (("valid_time", "latitude", "longitude"), values, {"units": "K"})},
        {
            "valid_time": times,
            "latitude": ("latitude", NATIVE.latitude, {"units": "degrees_north"}),
            "longitude": ("longitude", NATIVE.longitude, {"units": "degrees_east"}),
        },
    )
    if expver is not None:
        dataset = dataset.assign_coords(expver=("valid_time", np.full(len(values), expver)))
    path.unlink(missing_ok=True)
    dataset.to_netcdf(path, engine="netcdf4")


@pytest.fixture
def domain(tmp_path):
    """Twelve hours ingested, one of them in quarantine for a hot cell."""
    write(tmp_path / "a.nc", hot())
    (tmp_path / "tiny.yaml").write_text(YAML.format(paths="*.nc", root=tmp_path / "root"))
    domain = load_domain(tmp_path / "tiny.yaml")
    assert run(domain).quarantined == 1
    return domain


def run(domain):
    return ingest(domain, clock=lambda: NOW)


def let_go(domain, name="2019-03-01T05:00", **changes):
    return release(domain, name, **({"by": "kim", "why": "a fire", "now": NOW} | changes))


def archive_of(domain):
    return AnalysisArchive.open(Workspace.of(domain).analysis)


def quarantine_of(domain):
    return Quarantine(Workspace.of(domain).quarantine)


def status(domain, hour=HOT):
    return Status(int(archive_of(domain).status_at(np.array([START + hours(hour)]))[0]))


def test_a_released_field_is_stored_as_an_ingest_would_have_and_the_entry_tells(domain, tmp_path):
    report = let_go(domain)
    assert not report.was_stored
    assert not report.replaced
    assert status(domain) == Status.FINAL
    # The same files under limits that allow the cell, ingested from scratch.
    wide = load_domain(
        tmp_path / "tiny.yaml", overrides={"root": str(tmp_path / "w"), "quality.maximum_k": 350}
    )
    run(wide)
    times = archive_of(wide).times
    np.testing.assert_array_equal(archive_of(domain).read(times), archive_of(wide).read(times))
    np.testing.assert_array_equal(
        archive_of(domain).digests_at(times), archive_of(wide).digests_at(times)
    )
    (entry,) = quarantine_of(domain).entries()
    assert (entry.release.by, entry.release.why, entry.release.at) == ("kim", "a fire", NOW)


def test_releasing_twice_is_the_same_as_once(domain):
    let_go(domain)
    before = archive_of(domain).dataset().load()
    again = let_go(domain, by="lee")
    assert again.was_stored
    assert again.entry.release.by == "kim"
    xr.testing.assert_identical(archive_of(domain).dataset().load(), before)


def test_a_later_ingest_leaves_a_released_field_alone(domain, tmp_path):
    let_go(domain)
    assert run(domain).did_nothing
    assert status(domain) == Status.FINAL
    for limits in ({"quality.maximum_k": 339}, {"quality.maximum_k": 346}):
        assert run(load_domain(tmp_path / "tiny.yaml", overrides=limits)).did_nothing


def test_a_released_preliminary_field_is_raised_when_it_comes_again_as_final(tmp_path):
    write(tmp_path / "a.nc", hot(), expver="0005")
    (tmp_path / "tiny.yaml").write_text(YAML.format(paths="*.nc", root=tmp_path / "root"))
    domain = load_domain(tmp_path / "tiny.yaml")
    run(domain)
    let_go(domain)
    assert status(domain) == Status.PRELIMINARY
    assert run(domain).did_nothing
    write(tmp_path / "a.nc", hot(), expver="0001")
    report = run(domain)
    assert (report.replaced, report.quarantined) == (12, 0)
    assert status(domain) == Status.FINAL


def test_a_release_replaces_a_preliminary_field(tmp_path):
    write(tmp_path / "a.nc", weather(), expver="0005")
    (tmp_path / "tiny.yaml").write_text(YAML.format(paths="*.nc", root=tmp_path / "root"))
    domain = load_domain(tmp_path / "tiny.yaml")
    run(domain)
    write(tmp_path / "a.nc", hot(), expver="0001")
    run(domain)
    assert status(domain) == Status.PRELIMINARY
    assert let_go(domain).replaced
    assert status(domain) == Status.FINAL


@pytest.fixture
def killed_release(domain, monkeypatch):
    """A release that ended before the field was stored."""

    def die(self, *_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(AnalysisArchive, "publish", die)
        with pytest.raises(KeyboardInterrupt):
            let_go(domain)


@pytest.mark.usefixtures("killed_release")
def test_a_release_killed_before_it_was_stored_is_completed_by_the_next(domain):
    assert status(domain) == Status.QUARANTINED
    assert not let_go(domain).was_stored
    assert status(domain) == Status.FINAL


@pytest.mark.usefixtures("killed_release")
def test_an_ingest_completes_a_killed_release_too(domain):
    assert run(domain).written == 1
    assert status(domain) == Status.FINAL


def test_an_hour_that_is_final_by_another_field_is_refused(domain, tmp_path):
    write(tmp_path / "a.nc", weather())
    assert run(domain).written == 1
    before = archive_of(domain).dataset().load()
    with pytest.raises(ArchiveError, match="a final hour never changes"):
        let_go(domain)
    xr.testing.assert_identical(archive_of(domain).dataset().load(), before)
    assert quarantine_of(domain).entries()[0].release is None


def test_a_field_with_holes_is_refused(tmp_path):
    values = weather()
    values[HOT, 3, 3] = np.nan
    write(tmp_path / "a.nc", values)
    (tmp_path / "tiny.yaml").write_text(YAML.format(paths="*.nc", root=tmp_path / "root"))
    domain = load_domain(tmp_path / "tiny.yaml")
    run(domain)
    with pytest.raises(ArchiveError, match="found 1 without"):
        let_go(domain)
    assert quarantine_of(domain).entries()[0].release is None
    assert run(domain).did_nothing


def test_who_and_why_are_needed_and_the_entry_must_be_there(domain):
    for missing in ({"by": " "}, {"why": ""}):
        with pytest.raises(DomainError, match="who releases"):
            let_go(domain, **missing)
    with pytest.raises(ArchiveNotFoundError):
        let_go(domain, "2019-03-01T06:00")


def test_a_discarded_field_is_judged_anew(domain, tmp_path):
    entry = discard(domain, "2019-03-01T05:00")
    assert not entry.path.exists()
    assert run(domain).quarantined == 1  # the source still has it
    discard(domain, "2019-03-01T05:00")
    write(tmp_path / "a.nc", weather())
    assert run(domain).written == 1
    assert quarantine_of(domain).entries() == []


def test_the_record_of_a_stored_field_is_not_discarded(domain):
    let_go(domain)
    with pytest.raises(ArchiveError, match="released by kim"):
        discard(domain, "2019-03-01T05:00")
    assert len(quarantine_of(domain).entries()) == 1


def test_an_inspection_tells_values_and_neighbours(domain):
    found = inspect(domain, "2019-03-01T05:00")
    assert found.maximum_k == 345.0
    assert found.minimum_k == pytest.approx(float(weather()[HOT].min()))
    assert found.without_number == 0
    assert found.stored == Status.QUARANTINED
    assert found.grid.matches(NATIVE)
    earlier, later = found.differences
    assert (earlier.time, later.time) == (START + hours(4), START + hours(6))
    # The hot cell is a quarter of its 2 degree cell's area; the rest is the day's wave.
    rise = 345.0 - float(weather()[HOT, 10, 8])
    step = float(weather()[HOT, 10, 8] - weather()[4, 10, 8])
    assert earlier.largest_k == pytest.approx(rise / 4 + step, rel=0.02)
    assert (earlier.latitude, earlier.longitude) == (50, -4)
    assert 0.8 < earlier.correlation < 1
    assert earlier.unchanged == 0
