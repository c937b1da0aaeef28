"""The source era5 as ingest uses it: what it offers, what it asks, what it keeps on disk."""

import functools
import itertools
import logging
import time
from types import SimpleNamespace

import numpy as np
import pytest

from lsntp.config import load_domain
from lsntp.errors import SourceDataError, SourceUnavailableError
from lsntp.ingest import ingest
from lsntp.names import Status
from lsntp.reconcile import reconcile
from lsntp.sources import Upstream, open_source
from lsntp.sources.era5 import source as module
from lsntp.sources.files import FileSource
from lsntp.sources.synthetic import Atmosphere
from lsntp.times import DAY, LAST_INSTANT, Period, hours, parse_time
from tests.lsntp.ingest_files import archive_of
from tests.lsntp.sources.era5.conftest import NOW, PATIENT, UK, england
from tests.standins.cds import CdsServer

FIRST = parse_time("2025-01-01")
SIX = FIRST + np.arange(6) * hours(1)
EVER = Period.parse("1900-01-01", "2100-01-01")


def test_it_keeps_what_a_source_beyond_a_network_promises(make_source):
    source = make_source()
    assert isinstance(source, Upstream)
    assert source.name == "era5"
    assert not source.is_synthetic
    assert source.publication_latency == hours(132)


def test_hours_are_offered_from_the_start_until_five_and_a_half_days_ago(make_source):
    times = make_source(now=parse_time("2025-01-08T12:30")).available(EVER)
    assert times[0] == FIRST
    # 8 January 12:30 less 132 h is 3 January 00:30.
    assert times[-1] == parse_time("2025-01-03T00")
    assert times.size == 49
    until_ever = Period(FIRST, parse_time(LAST_INSTANT))
    assert make_source().available(until_ever)[-1] == parse_time("2025-04-25T12")


def test_a_domain_of_half_hours_is_offered_whole_hours(tmp_path):
    half_hourly = england(tmp_path).model_copy(update={"cadence_h": 0.5})
    times = open_source(half_hourly, clock=lambda: NOW).available(Period(SIX[0], SIX[3]))
    np.testing.assert_array_equal(times, SIX[:3])


def test_nothing_is_offered_before_the_first_hour_is_published(make_source):
    assert not make_source(now=parse_time("2025-01-02")).available(EVER).size


def test_nothing_is_asked_before_hours_are_wanted(cds, make_source, area):
    source = make_source()
    source.available(EVER)
    assert not source.pending(EVER).size
    assert source.holes() == []
    assert source.fetch(SIX[:0], area) == []
    assert not cds.calls


def test_hours_fetched_within_half_a_day_come_from_disk_without_a_key(
    cds, make_source, area, monkeypatch
):
    (first,) = make_source().fetch(SIX, area)
    calls = len(cds.calls)
    for name in cds.environment:
        monkeypatch.delenv(name)
    (again,) = make_source(now=NOW + hours(11)).fetch(SIX[1:3], area)
    np.testing.assert_array_equal(again.t2m.values, first.t2m.values[1:3])
    assert len(cds.calls) == calls


def test_only_the_hours_that_are_not_on_disk_are_asked_for(cds, make_source, area):
    make_source().fetch(SIX[:4], area)
    (frames,) = make_source().fetch(SIX, area)
    assert np.array_equal(np.sort(frames.time.values), SIX)
    assert [inputs["time"] for inputs in cds.accepted] == [
        ["00:00", "01:00", "02:00", "03:00"],
        ["04:00", "05:00"],
    ]


def test_a_day_later_preliminary_hours_are_asked_for_again(cds, make_source, area):
    march = parse_time("2025-03-01") + np.arange(2) * hours(1)
    (frames,) = make_source().fetch(march, area)
    assert frames.status.values.tolist() == [Status.PRELIMINARY] * 2
    make_source(now=NOW + DAY).fetch(march, area)
    assert list(cds.submissions().values()) == [2]


def test_a_delivered_file_that_was_damaged_on_disk_is_asked_for_again(
    cds, make_source, area, tmp_path
):
    (first,) = make_source().fetch(SIX, area)
    (path,) = (tmp_path / "work/england/era5").glob("*.grib")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)
    (again,) = make_source().fetch(SIX, area)
    np.testing.assert_array_equal(again.t2m.values, first.t2m.values)
    assert len(cds.accepted) == 2


def test_netcdf_brings_the_same_hours_as_grib(cds, make_source, area):
    around = parse_time("2025-02-28T22") + np.arange(4) * hours(1)
    (grib,) = make_source().fetch(around, area)
    (netcdf,) = make_source(data_format="netcdf").fetch(around, area)
    assert [inputs["data_format"] for inputs in cds.accepted][-1] == "netcdf"
    assert netcdf.status.values.tolist() == [Status.FINAL] * 2 + [Status.PRELIMINARY] * 2
    np.testing.assert_array_equal(netcdf.status.values, grib.status.values)
    np.testing.assert_array_equal(netcdf.t2m.values, grib.t2m.values)


def test_a_month_of_the_british_isles_is_that_of_its_file(
    shared_data, tmp_path, monkeypatch, caplog
):
    domain = england(tmp_path).model_copy(
        update={
            "grid": england(tmp_path).grid.model_copy(
                update={"north": 57.5, "south": 50.5, "west": -9.5, "east": 1.5, "spacing": 0.5}
            ),
            "archive": england(tmp_path).archive.model_copy(
                update={"start": parse_time("2019-03-01").astype("datetime64[us]").item()}
            ),
        }
    )
    period = Period.parse("2019-03-01", "2019-04-01")
    files = FileSource([str(shared_data / UK)], origin=period.start, cadence=hours(1))
    with CdsServer([shared_data / UK]) as server, caplog.at_level(logging.INFO):
        server.polls = 3
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        source = open_source(domain)
        times = source.available(period)
        (found,) = source.fetch(times, domain.target_grid)
    (true,) = files.fetch(times, domain.target_grid)
    assert times.size == 744
    np.testing.assert_array_equal(found.t2m.values, true.t2m.values)
    np.testing.assert_array_equal(found.source_digest.values, true.source_digest.values)
    for word in ("submitted as job", "queued", "running", "downloaded"):
        assert word in caplog.text


def test_jobs_for_another_product_are_left_to_the_store(cds, make_source, area):
    cds.is_held = True
    with pytest.raises(SourceUnavailableError):
        make_source(deadline_minutes=0.001).fetch(SIX, area)
    cds.is_held = False
    make_source(data_format="netcdf").fetch(SIX, area)
    assert [inputs["data_format"] for inputs in cds.accepted] == ["grib", "netcdf"]
    assert not make_source().pending(EVER).size


def test_pending_hours_are_those_of_jobs_under_way_within_the_period(cds, make_source, area):
    cds.is_held = True
    with pytest.raises(SourceUnavailableError):
        make_source(deadline_minutes=0.001).fetch(SIX, area)
    source = make_source()
    np.testing.assert_array_equal(source.pending(Period(SIX[2], SIX[4])), SIX[2:4])


def test_a_second_ingest_of_final_hours_asks_nothing(cds, tmp_path):
    domain = england(tmp_path, **PATIENT)
    period = Period.parse("2025-01-01", "2025-01-02")
    first = ingest(domain, period=period, clock=lambda: NOW)
    assert first.written == 24
    calls = len(cds.calls)
    assert ingest(domain, period=period, clock=lambda: NOW).did_nothing
    assert len(cds.calls) == calls


def test_preliminary_hours_are_replaced_when_the_store_has_the_final_ones(cds, tmp_path):
    domain = england(tmp_path, **PATIENT)
    around = Period.parse("2025-02-28T20", "2025-03-01T04")
    ingest(domain, period=around, clock=lambda: NOW)
    before = archive_of(domain)
    assert before.status[-4:].tolist() == [Status.PRELIMINARY] * 4
    fields = before.read(before.times[-8:])

    cds.is_final = True
    report = ingest(domain, period=around, clock=lambda: NOW + DAY)
    after = archive_of(domain)
    assert report.replaced == 4
    assert after.status[-8:].tolist() == [Status.FINAL] * 8
    np.testing.assert_array_equal(after.read(after.times[-8:]), fields)
    # The four hours of February that were final are not asked for again.
    assert [inputs["month"] for inputs in cds.accepted] == [["02"], ["03"], ["03"]]


def test_a_reconciliation_each_day_asks_the_store_each_day(cds, tmp_path):
    domain = england(tmp_path, **PATIENT)
    ingest(domain, period=Period.parse("2025-03-01", "2025-03-02"), clock=lambda: NOW)
    cron = parse_time("2025-06-15T03:20")
    for day in range(3):
        asked = len(cds.accepted)
        moments = map(np.timedelta64, itertools.count(), itertools.repeat("s"))
        clock = map((cron + day * DAY).__add__, moments)  # time goes on in a run
        report = reconcile(domain, clock=functools.partial(next, clock))
        assert (report.asked, report.finalised) == (24, 0)
        assert len(cds.accepted) == asked + 1
    cds.is_final = True
    assert reconcile(domain, clock=lambda: cron + 3 * DAY).finalised == 24


def test_each_fetch_has_the_whole_deadline(cds, make_source, area, monkeypatch):
    """A long backfill fetches piece by piece from one source."""
    begun_before_s = iter([180.0, 0.0])  # the deadline is two minutes
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() - next(begun_before_s))
    monkeypatch.setattr(module, "time", clock)
    source = make_source()
    with pytest.raises(SourceUnavailableError, match="within 2 minutes"):
        source.fetch(SIX, area)
    (frames,) = source.fetch(SIX, area)
    np.testing.assert_array_equal(frames.time.values, SIX)


def test_a_failed_fetch_leaves_the_archive_as_it_was(cds, tmp_path):
    domain = england(tmp_path, **PATIENT)
    ingest(domain, period=Period.parse("2025-01-01", "2025-01-02"), clock=lambda: NOW)
    before = archive_of(domain).read(archive_of(domain).times)
    cds.end = ("failed", "MARS returned no data")
    with pytest.raises(SourceDataError, match="MARS returned no data"):
        ingest(domain, period=Period.parse("2025-01-01", "2025-01-03"), clock=lambda: NOW)
    after = archive_of(domain)
    np.testing.assert_array_equal(after.read(after.times), before)


def test_a_file_that_cannot_be_decoded_is_not_kept(cds, make_source, area, monkeypatch):
    def refuse(*_arguments):
        raise SourceDataError("Expected values, found none.")

    with monkeypatch.context() as patch:
        patch.setattr(FileSource, "fetch", refuse)
        with pytest.raises(SourceDataError):
            make_source().fetch(SIX, area)
    make_source().fetch(SIX, area)
    assert len(cds.accepted) == 2


def test_the_preset_is_ingested_from_its_own_box_at_the_store(england_file, tmp_path, monkeypatch):
    day = Period.parse("2019-03-01", "2019-03-02")
    settings = {"root": str(tmp_path / "store"), "source.pause_s": 0.05}
    domain = load_domain("era5-hourly", overrides=settings)
    made = Atmosphere.of_seed(1).temperature_k
    with CdsServer([england_file], fields=made) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        report = ingest(domain, period=day, clock=lambda: NOW)
        (job,) = server.jobs.values()
    assert job.request["area"] == [54.5, 72.5, 15.5, 135.5]
    assert (report.written, report.quarantined) == (24, 0)

    (tmp_path / "day.grib").write_bytes(job.content)
    files = {"root": str(tmp_path / "files"), "source": {"name": "files", "paths": ["day.grib"]}}
    monkeypatch.chdir(tmp_path)
    other = load_domain("era5-hourly", overrides=files)
    ingest(other, period=day, clock=lambda: NOW)
    found, true = archive_of(domain), archive_of(other)
    hours_of_the_day = day.steps(hours(1), day.start)
    fields = found.read(hours_of_the_day)
    assert fields.shape == (24, 77, 125)
    np.testing.assert_array_equal(fields, true.read(hours_of_the_day))
