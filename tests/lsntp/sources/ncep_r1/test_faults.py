"""What a file host may do wrong to a yearly file: nothing false gets its name or is published."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from lsntp.config import Domain
from lsntp.errors import SourceDataError, SourceUnavailableError
from lsntp.ingest import ingest
from lsntp.names import Status
from lsntp.times import parse_time
from lsntp.workspace import Workspace
from tests.lsntp.ingest_files import archive_of
from tests.lsntp.sources.ncep_r1.reading import FIRST_YEAR, HELD, LATE, SECOND_YEAR, opened, steps
from tests.standins.file_host import Cut, Fault, FileHost, Flip, Page
from tests.standins.file_host import Status as Answer
from tests.standins.reanalysis_files import yearly_file


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
