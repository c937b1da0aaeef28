"""Real files through the real source, quality, regridding and archive."""

import json

import numpy as np
import pytest
import xarray as xr

from lsntp.archives.quarantine import Quarantine
from lsntp.backfill import backfill
from lsntp.config import load_domain
from lsntp.errors import SourceDataError
from lsntp.grid import regular_grid
from lsntp.ingest import ingest
from lsntp.names import Status
from lsntp.times import LAST_INSTANT, Period, hours, parse_time
from lsntp.workspace import Workspace
from tests.lsntp.ingest_files import (
    NATIVE,
    NOW,
    START,
    archive_of,
    make_domain,
    run,
    statuses,
    stored_bytes,
    weather,
    write,
)


def test_a_day_of_files_becomes_a_day_of_fields_on_the_domains_grid(tmp_path):
    write(tmp_path / "day.nc", weather())
    domain = make_domain(tmp_path)

    report = run(domain)

    assert (report.expected, report.written, report.already, report.absent) == (24, 24, 0, 0)
    assert not report.did_nothing
    with xr.open_zarr(Workspace.of(domain).analysis, chunks=None) as archive:
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


def test_a_period_without_an_end_ends_with_the_source_whatever_the_clock_says(tmp_path):
    write(tmp_path / "day.nc", weather())
    domain = make_domain(tmp_path)
    open_ended = Period(START + hours(6), parse_time(LAST_INSTANT))

    report = ingest(domain, period=open_ended, clock=lambda: START - hours(24 * 400))

    assert report.period == Period(START + hours(6), START + hours(24))
    assert (report.expected, report.written, report.absent) == (18, 18, 0)


def test_a_start_after_all_the_source_has_is_said(tmp_path):
    write(tmp_path / "day.nc", weather())
    late = Period(START + hours(48), parse_time(LAST_INSTANT))
    with pytest.raises(SourceDataError, match=r"on in source files, found none; .*first time"):
        ingest(make_domain(tmp_path), period=late)


@pytest.mark.parametrize(
    ("source", "latency"),
    [
        ({"name": "gfs", "publication_h": 5}, hours(5)),
        ({"name": "ncep_r1", "publication_days": 3}, hours(72)),
        ({"name": "era5", "publication_days": 5}, hours(120)),
    ],
    ids=["gfs", "ncep_r1", "era5"],
)
def test_of_an_upstream_that_has_published_nothing_yet_there_is_nothing_to_do(
    tmp_path, source, latency
):
    domain = make_domain(tmp_path, source=source, cadence_h=6)
    early = START + latency - hours(1)

    report = ingest(domain, clock=lambda: early)
    assert report.did_nothing
    assert report.period == Period(START, START + hours(6))
    assert (report.expected, report.absent, report.written) == (1, 1, 0)
    filled = backfill(domain, clock=lambda: early)
    assert (filled.period, filled.offered) == (report.period, 0)

    between = Period(START + hours(1), parse_time(LAST_INSTANT))  # its first step is 06:00
    assert ingest(domain, period=between, clock=lambda: early + hours(6)).did_nothing
    assert not Workspace.of(domain).analysis.exists()


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
