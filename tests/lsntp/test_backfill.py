"""Backfills: any period, in pieces that survive a kill, from either end, and never over a field."""

from contextlib import contextmanager

import numpy as np
import pytest
import xarray as xr

from lsntp.archives.analysis import AnalysisArchive
from lsntp.backfill import backfill
from lsntp.config import load_domain
from lsntp.errors import DomainError, SourceDataError
from lsntp.ingest import ingest
from lsntp.names import Status
from lsntp.times import Period, format_time, hours, parse_time
from tests.lsntp.ingest_files import NOW, START, archive_of, make_domain, statuses, weather, write
from tests.lsntp.late_source import install, tell


@pytest.fixture
def two_months(tmp_path):
    """The tiny domain with 65 days of files: pieces of 30, 30 and 5 days."""
    write(tmp_path / "a.nc", weather(65 * 24))
    return make_domain(tmp_path)


def run(domain, **arguments):
    return backfill(domain, clock=lambda: NOW, **arguments)


def content(domain):
    return archive_of(domain).dataset().drop_attrs().load()


def test_a_dry_run_says_how_much_there_is_to_do_and_does_nothing(two_months, tmp_path):
    period = Period(START + hours(24), START + hours(24 * 40))
    report = run(two_months, period=period, dry_run=True)
    assert (report.expected, report.already, report.offered, report.pieces) == (936, 0, 936, 2)
    assert report.stored_bytes == 936 * 9 * 7 * 4
    assert not (tmp_path / "root").exists()


def test_newest_first_ends_as_oldest_first_and_as_an_ingest(two_months, tmp_path):
    for name, newest_first in (("oldest", False), ("newest", True)):
        domain = two_months.model_copy(update={"root": str(tmp_path / name)})
        assert run(domain, newest_first=newest_first).written == 65 * 24
    ingest(two_months, clock=lambda: NOW)
    for name in ("oldest", "newest"):
        domain = two_months.model_copy(update={"root": str(tmp_path / name)})
        xr.testing.assert_identical(content(domain), content(two_months))


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_backfill_killed_between_two_pieces_goes_on_where_it_was(
    two_months, tmp_path, monkeypatch, newest_first
):
    undisturbed = two_months.model_copy(update={"root": str(tmp_path / "undisturbed")})
    run(undisturbed)
    publish, calls = AnalysisArchive.publish, []

    def killed_in_the_second(self, frames, **arguments):
        calls.append(frames.sizes["time"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return publish(self, frames, **arguments)

    monkeypatch.setattr(AnalysisArchive, "publish", killed_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        run(two_months, newest_first=newest_first)
    monkeypatch.undo()

    first = 5 * 24 if newest_first else 30 * 24
    archive = archive_of(two_months)
    assert archive.times.size == (65 * 24 if newest_first else 30 * 24)
    assert (archive.status == Status.FINAL).sum() == first
    rest = run(two_months, newest_first=newest_first)
    assert (rest.already, rest.offered, rest.written) == (first, 65 * 24 - first, 65 * 24 - first)
    xr.testing.assert_identical(content(two_months), content(undisturbed))
    assert run(two_months).offered == 0


def test_what_holds_a_field_is_neither_asked_for_nor_written_again(tmp_path):
    write(tmp_path / "a.nc", weather(24), expver="0005")
    domain = make_domain(tmp_path)
    run(domain, period=Period(START, START + hours(12)))
    before = archive_of(domain).read(archive_of(domain).times)

    write(tmp_path / "a.nc", weather(24) + 2, expver="0001")
    report = run(domain)

    assert (report.already, report.offered, report.written) == (12, 12, 12)
    assert statuses(domain) == [Status.PRELIMINARY] * 12 + [Status.FINAL] * 12
    np.testing.assert_array_equal(archive_of(domain).read(archive_of(domain).times)[:12], before)


def test_between_two_pieces_another_run_writes_and_its_hours_are_not_asked_for_again(two_months):
    second = Period(START + hours(30 * 24), START + hours(60 * 24))
    held, taken = [], []

    @contextmanager
    def during():
        if len(taken) == 2:  # the work list and the first piece
            assert not held
            ingest(two_months, period=second, clock=lambda: NOW - hours(1))
        held.append(True)
        yield
        taken.append(held.pop())

    report = run(two_months, during=during)

    assert (len(taken), report.pieces, report.written) == (4, 3, 35 * 24)
    archive = archive_of(two_months)
    assert set(archive.status) == {Status.FINAL}
    is_second = second.contains(archive.times)
    assert set(archive.ingested_at(archive.times)[is_second]) == {NOW - hours(1)}


def test_rejected_fields_and_absent_hours_are_counted(tmp_path):
    values = weather(24)
    values[5] = 0
    keep = np.arange(24) != 9
    write(tmp_path / "a.nc", values[keep], times=(START + np.arange(24) * hours(1))[keep])
    report = run(make_domain(tmp_path))
    assert (report.written, report.quarantined, report.without_field) == (22, 1, 2)


@pytest.mark.parametrize("newest_first", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_what_cannot_be_used_is_counted_at_the_end_and_all_else_is_stored(
    tmp_path, monkeypatch, newest_first
):
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    make_domain(tmp_path)
    folder = tmp_path / "upstream"
    steps = 33 * 24  # more than a piece
    bad = [10, 11, 32 * 24, steps - 1]
    tell(
        folder,
        now=format_time(START + hours(steps - 1)),
        broken=[format_time(START + hours(hour)) for hour in bad],
    )
    write(folder / "a.nc", weather(steps))
    source = {"name": "late", "options": {"folder": str(folder)}}
    domain = load_domain(tmp_path / "tiny.yaml", overrides={"source": source})

    with pytest.raises(SourceDataError, match=rf"page in HTML.*4 of {steps} steps"):
        run(domain, newest_first=newest_first)

    times = START + np.arange(steps) * hours(1)
    is_stored = archive_of(domain).status_at(times) == Status.FINAL
    assert np.flatnonzero(~is_stored).tolist() == bad
    with pytest.raises(SourceDataError, match="4 of 4 steps"):
        run(domain)
    tell(folder, now=format_time(times[-1]))
    assert run(domain).written == 4


def test_a_period_before_the_archive_is_refused_with_the_remedy(two_months):
    with pytest.raises(DomainError, match="give the domain another name"):
        run(two_months, period=Period(parse_time("2019-01-01"), START + hours(5)))
