"""Preliminary ERA5 becomes final: the real file that changes from 0005 to 0001, and its sequel."""

import shutil
from pathlib import Path

import eccodes
import numpy as np
import pytest
import xarray as xr

from lsntp.archives.evaluation import EvaluationArchive
from lsntp.archives.forecast import ForecastArchive
from lsntp.archives.lease import LeasedStore
from lsntp.archives.ledger import HourLedger
from lsntp.archives.superseded import superseded
from lsntp.config import load_domain
from lsntp.errors import ArchiveNotFoundError, DomainError, SourceDataError
from lsntp.evaluation.scoring import FrameCounts, evaluate
from lsntp.forecasting import forecast
from lsntp.ingest import ingest
from lsntp.names import SOURCE_DIGEST, STATUS, T2M, Status
from lsntp.reconcile import reconcile
from lsntp.times import Period, format_time, hours, parse_time
from lsntp.workspace import Workspace
from tests.lsntp.ingest_files import archive_of, make_domain, statuses, weather, write
from tests.lsntp.late_source import install, questions, tell

MIXED = "era5/era5_t2m_1h_england_2025-01_2025-03_expver_mix.grib"
MARCH, APRIL = parse_time("2025-03-01"), parse_time("2025-04-01")
JUNE = parse_time("2025-06-15")
YAML = """
domain: england
source: {{name: files, paths: ["{folder}/*.grib"]}}
grid: {{kind: regular, north: 51.75, south: 51.25, west: -0.75, east: -0.25, spacing: 0.25}}
cadence_h: 1
history: 2
horizon: 3
archive: {{start: 2025-02-10}}
split:
  train: {{start: 2025-02-10, end: 2025-02-20}}
  validation: {{start: 2025-02-20, end: 2025-02-25}}
  test: {{start: 2025-02-25, end: 2025-04-01}}
baselines: [persistence]
root: "{root}"
"""


def make_final(preliminary: Path, path: Path) -> None:
    """The messages of March as ERA5 would publish them: expver 0001 and other values.

    Every cell is 0.25 K warmer. On 10 March at 06 UTC the cell at 51.5 N 0.5 W is 1.5 K warmer,
    and a corner that lies outside the domain 9 K.
    """
    with preliminary.open("rb") as read, path.open("wb") as out:
        while (message := eccodes.codes_grib_new_from_file(read)) is not None:
            day = eccodes.codes_get(message, "dataDate")
            if eccodes.codes_get(message, "expver") == "0005":
                values = eccodes.codes_get_values(message) + 0.25
                if (day, eccodes.codes_get(message, "dataTime")) == (20250310, 600):
                    values[12] += 1.25  # the middle of 5 x 5
                    values[0] += 8.75
                eccodes.codes_set(message, "expver", "0001")
                eccodes.codes_set_values(message, values)
                out.write(eccodes.codes_get_message(message))
            eccodes.codes_release(message)


@pytest.fixture(scope="module")
def preliminary_world(shared_data, tmp_path_factory):
    """March ingested while it was preliminary, and forecasts from then."""
    from lsntp.training import train

    folder = tmp_path_factory.mktemp("england")
    shutil.copy(shared_data / MIXED, folder / "mixed.grib")
    make_final(folder / "mixed.grib", folder / "final.held-back")
    domain = england(folder, folder / "root")
    ingest(domain, clock=lambda: APRIL + hours(24 * 6))
    train(domain)
    forecast(domain, period=Period(MARCH - hours(48), MARCH + hours(72)))
    return folder


def england(folder, root):
    path = folder / "england.yaml"
    path.write_text(YAML.format(folder=folder, root=root))
    return load_domain(path)


@pytest.fixture
def world(preliminary_world, tmp_path):
    """The test's own copy: its domain, whose files are final from now on."""
    shutil.copytree(preliminary_world / "root", tmp_path / "root")
    for name in ("mixed.grib", "final.held-back"):
        shutil.copy(preliminary_world / name, tmp_path / name)
    return england(tmp_path, tmp_path / "root")


def publish_final(world):
    folder = Path(world.source.paths[0]).parent
    (folder / "final.held-back").rename(folder / "final.grib")


def scores(domain):
    return EvaluationArchive.open(Workspace.of(domain).evaluation).dataset().load()


def test_march_becomes_final_and_the_largest_change_is_kept(world):
    before = archive_of(world)
    january_on = before.read(before.times[before.times < MARCH])
    march = np.arange(MARCH, APRIL, hours(1))
    assert set(before.status_at(march)) == {Status.PRELIMINARY}
    preliminary = before.read(march)
    publish_final(world)

    report = reconcile(world, clock=lambda: JUNE)

    assert (report.preliminary, report.asked, report.finalised) == (744, 744, 744)
    assert (report.replaced, report.quarantined) == (744, 0)
    # 0.25 + 1.25 K in the middle; the 9 K lie outside the domain. Packing is finer than 0.005 K.
    assert report.largest_change_k == pytest.approx(1.5, abs=0.005)
    assert set(statuses(world)) == {Status.FINAL}
    change = archive_of(world).read(march) - preliminary
    np.testing.assert_allclose(np.median(change), 0.25, atol=0.005)
    np.testing.assert_array_equal(january_on, archive_of(world).read(before.times[: 19 * 24]))
    ledger = HourLedger(Workspace.of(world).quarantine, world.cadence)
    assert max(note.largest_change_k for note in ledger.replaced()) == report.largest_change_k
    assert (ledger.replaced()[0].start, ledger.replaced()[-1].end) == (MARCH, APRIL)
    assert reconcile(world, clock=lambda: JUNE).did_nothing


def test_scores_after_reconciling_equal_scoring_once(world, tmp_path):
    evaluate(world)  # against the preliminary truth
    preliminary = scores(world)
    publish_final(world)
    reconcile(world, clock=lambda: JUNE)
    counts = evaluate(world).models["persistence"]
    # 120 initial times, 3 leads; truths before March were final: 48 * 3 less 3 + 2 + 1 frames
    assert (counts.scored, counts.already) == (120 * 3 - 138, 138)
    assert counts.superseded == 72
    again = scores(world)
    assert not again["squared_error_sum"].equals(preliminary["squared_error_sum"])
    assert set(np.unique(again["truth_status"])) == {Status.MISSING, Status.FINAL}

    shutil.rmtree(tmp_path / "root" / "evaluations")
    evaluate(world)
    xr.testing.assert_identical(again, scores(world))


def test_superseded_forecasts_stay_as_made_until_somebody_asks_for_new_ones(world):
    publish_final(world)
    archive = ForecastArchive.open(Workspace.of(world).forecast("persistence"))
    assert superseded(world, archive, archive_of(world)).size == 0
    made = archive.read(archive.written())
    reconcile(world, clock=lambda: JUNE)
    expected = np.arange(MARCH, MARCH + hours(72), hours(1))
    np.testing.assert_array_equal(superseded(world, archive, archive_of(world)), expected)

    period = Period(MARCH - hours(48), MARCH + hours(72))
    (kept,) = forecast(world, period=period)
    assert (kept.written.size, kept.superseded) == (0, 72)
    np.testing.assert_array_equal(archive.read(archive.written()), made)

    evaluate(world)
    (redone,) = forecast(world, period=period, redo_superseded=True)
    assert (redone.written.size, redone.superseded) == (72, 0)
    np.testing.assert_array_equal(redone.written, expected)
    assert set(archive.analysis_status_at(expected)) == {Status.FINAL}
    np.testing.assert_allclose(  # persistence: the final analysis itself
        archive.read(expected)[:, 0], archive_of(world).read(expected), atol=1e-6
    )
    assert evaluate(world).models == {"persistence": FrameCounts(72 * 3, 48 * 3, 0)}
    (again,) = forecast(world, period=period, redo_superseded=True)
    assert again.written.size == 0


# --- an upstream that has to be asked ---------------------------------------------------------


@pytest.fixture
def late(tmp_path, monkeypatch):
    """Ten days around the end of March 2019, all preliminary, and their upstream's folder."""
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    folder = tmp_path / "upstream"
    tell(folder, now="2019-04-04T23")
    make_domain(tmp_path)
    domain = load_domain(
        tmp_path / "tiny.yaml",
        overrides={
            "source": {"name": "late", "options": {"folder": str(folder)}},
            "archive.start": "2019-02-26",
            "ingest.budget_h": 10_000,
        },
    )
    offer(folder, domain, "0005")
    ingest(domain, period=Period(parse_time("2019-03-26"), parse_time("2019-04-05")))
    questions(folder)
    return domain, folder


def offer(folder, domain, expver, *, until="2019-04-05", by=0.0):
    times = np.arange(parse_time("2019-03-26"), parse_time(until), hours(1))
    write(folder / f"{expver}.nc", weather(240)[: times.size] + by, times=times, expver=expver)


def test_only_hours_old_enough_are_asked_for(late):
    domain, folder = late
    report = reconcile(domain, clock=lambda: parse_time("2019-05-25"))  # 60 days after 26 March
    assert [asked[0] for asked in questions(folder)] == ["2019-03-26T00:00Z"]
    assert (report.preliminary, report.asked, report.did_nothing) == (240, 1, True)
    assert reconcile(domain, clock=lambda: parse_time("2019-05-24T23")).asked == 0
    assert questions(folder) == []


def test_a_month_that_is_not_final_yet_costs_one_day(late):
    domain, folder = late
    assert reconcile(domain, clock=lambda: JUNE).did_nothing
    (asked,) = questions(folder)
    assert (asked[0], asked[-1]) == ("2019-03-26T00:00Z", "2019-03-26T23:00Z")


def test_finals_are_taken_month_by_month_up_to_the_first_that_is_not_there(late):
    domain, folder = late
    (folder / "0005.nc").unlink()
    offer(folder, domain, "0001", until="2019-04-01", by=0.5)
    report = reconcile(domain, clock=lambda: JUNE)
    assert (report.finalised, report.replaced) == (144, 144)
    assert report.largest_change_k == pytest.approx(0.5, abs=1e-4)
    assert [(asked[0], len(asked)) for asked in questions(folder)] == [
        ("2019-03-26T00:00Z", 24),
        ("2019-03-27T00:00Z", 120),
        ("2019-04-01T00:00Z", 24),
    ]
    # What was not delivered stays as it was, usable.
    status = archive_of(domain).status_at(np.arange("2019-04-01", "2019-04-05", dtype="M8[D]"))
    assert set(status) == {Status.PRELIMINARY}


def test_an_explicit_period_is_asked_for_whatever_its_age(late):
    domain, folder = late
    offer(folder, domain, "0001")
    (folder / "0005.nc").unlink()
    period = Period(parse_time("2019-04-01"), parse_time("2019-04-02"))
    report = reconcile(domain, period=period, clock=lambda: parse_time("2019-04-06"))
    assert (report.asked, report.finalised) == (24, 24)


def test_a_bad_final_field_leaves_the_preliminary_one_in_place(late):
    domain, folder = late
    (folder / "0005.nc").unlink()
    times = np.arange(parse_time("2019-03-26"), parse_time("2019-04-05"), hours(1))
    values = weather(240)
    values[30] = 0
    write(folder / "0001.nc", values, times=times, expver="0001")
    report = reconcile(domain, clock=lambda: JUNE)
    assert (report.finalised, report.quarantined) == (239, 1)
    assert archive_of(domain).status_at(times)[30] == Status.PRELIMINARY


@pytest.mark.parametrize("bad", [range(30, 31), range(0, 24), range(0, 144)])
def test_rejected_final_hours_stop_no_later_reconciliation(late, bad):
    domain, folder = late
    (folder / "0005.nc").unlink()
    times = np.arange(parse_time("2019-03-26"), parse_time("2019-04-05"), hours(1))
    values = weather(240)
    values[list(bad)] = 0
    march = times < parse_time("2019-04-01")
    write(folder / "0001.nc", values[march], times=times[march], expver="0001")
    first = reconcile(domain, clock=lambda: JUNE)
    assert (first.finalised, first.quarantined) == (144 - len(bad), len(bad))

    write(folder / "0001.nc", values, times=times, expver="0001")
    second = reconcile(domain, clock=lambda: JUNE)

    assert (second.finalised, second.quarantined) == (96, 0)
    is_left = archive_of(domain).status_at(times) == Status.PRELIMINARY
    assert np.flatnonzero(is_left).tolist() == list(bad)


def test_a_month_that_cannot_be_used_stops_no_other_and_is_told_at_the_end(late):
    domain, folder = late
    (folder / "0005.nc").unlink()
    offer(folder, domain, "0001")
    bad = ["2019-03-26T00:00Z", "2019-03-29T05:00Z"]
    tell(folder, now="2019-04-04T23", broken=bad)
    for _ in range(2):
        with pytest.raises(SourceDataError, match=r"page in HTML.*Found so for 2 of"):
            reconcile(domain, clock=lambda: JUNE)
        archive = archive_of(domain)
        left = archive.times[archive.status == Status.PRELIMINARY]
        assert [format_time(time) for time in left] == bad
    tell(folder, now="2019-04-04T23")
    assert reconcile(domain, clock=lambda: JUNE).finalised == 2


@pytest.mark.parametrize("array", [T2M, SOURCE_DIGEST, STATUS])
def test_a_kill_at_any_step_of_a_replacement_loses_no_change(late, monkeypatch, array):
    domain, folder = late
    (folder / "0005.nc").unlink()
    offer(folder, domain, "0001", by=0.5)
    put = LeasedStore.set

    async def killed_after_the_first_chunk(self, key, value):
        await put(self, key, value)
        if key.startswith(f"{array}/c"):
            raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(LeasedStore, "set", killed_after_the_first_chunk)
        with pytest.raises(RuntimeError):
            reconcile(domain, clock=lambda: JUNE)
    reconcile(domain, clock=lambda: JUNE)
    assert not (archive_of(domain).status == Status.PRELIMINARY).any()
    ledger = HourLedger(Workspace.of(domain).quarantine, domain.cadence)
    assert max(one.largest_change_k for one in ledger.replaced()) == pytest.approx(0.5, abs=1e-4)
    hours_of = [(one.end - one.start) / hours(1) for one in ledger.replaced()]
    assert sum(hours_of) == 240


def test_there_must_be_an_archive_and_the_period_must_lie_in_it(tmp_path, late):
    domain, _ = late
    with pytest.raises(DomainError, match=r"archive\.start"):
        reconcile(domain, period=Period(parse_time("2019-01-01"), JUNE))
    empty = domain.model_copy(update={"root": str(tmp_path / "empty")})
    with pytest.raises(ArchiveNotFoundError, match="lsntp ingest"):
        reconcile(empty)
