"""The page about quality, from quarantines that were really written, and really damaged."""

import numpy as np
import pytest
import xarray as xr

from lsntp.archives.coverage import Coverage
from lsntp.archives.quarantine import FIELD_FILE, REASONS_FILE, Quarantine, Rejection, Release
from lsntp.names import Status
from lsntp.report.rejects import MAX_LISTED, MAX_SHOWN, Rejects, collect_rejects, render_quality
from lsntp.times import hours, parse_time
from lsntp.workspace import Workspace
from tests.lsntp.report.parsing import Page

START = parse_time("2021-01-01")
CONSTANT = "Expected a field that varies, found 280.00 K in all 48 cells."
INFINITE = "Expected a temperature in every cell, found 1 of 48 (2%) infinite; the first at 50 N."


def reject(domain, after_h, reason, values=280.0):
    """Quarantine a field of ``values`` for ``after_h`` hours (or a duration) after the start."""
    grid = domain.target_grid
    time = START + (hours(after_h) if isinstance(after_h, int) else after_h)
    digest = np.frombuffer(str(time).encode().rjust(32), np.uint8)
    frame = xr.Dataset(
        {
            "t2m": (("time", "latitude", "longitude"), np.full((1, *grid.shape), values)),
            "source_digest": (("time", "digest_byte"), digest[None]),
        },
        {"time": [time], "latitude": grid.latitude, "longitude": grid.longitude},
    )
    Quarantine(Workspace.of(domain).quarantine).put(Rejection(time, (reason,)), frame)


def entries_of(domain):
    return Quarantine(Workspace.of(domain).quarantine).entries()


@pytest.fixture
def empty(make_domain, tmp_path):
    return make_domain(tmp_path)


def test_without_a_quarantine_nothing_was_rejected(empty):
    assert collect_rejects(empty) == Rejects((), (), (), "")


def test_the_status_is_what_the_archive_holds_at_that_time_now(empty, make_fields, publish):
    publish(empty, make_fields(empty, 6))
    reject(empty, 2, CONSTANT)
    reject(empty, np.timedelta64(150, "m"), CONSTANT)  # between two steps
    reject(empty, 500, CONSTANT)  # after the last one
    found = collect_rejects(empty)
    assert found.status == (Status.FINAL, Status.MISSING, Status.MISSING)
    text = Page(render_quality(empty, found, None)).text
    assert "3 fields for 3 times failed a quality check" in text
    assert "for 1 of these times the archive holds another, usable field" in text


def test_before_there_is_an_archive_every_time_is_missing(empty):
    reject(empty, 2, CONSTANT)
    found = collect_rejects(empty)
    assert found.status == (Status.MISSING,)
    assert "Run lsntp ingest small" in Page(render_quality(empty, found, None)).text


def test_the_newest_of_each_kind_is_drawn_first_then_the_newest(empty):
    reject(empty, 0, INFINITE, np.inf)
    for hour in range(1, 9):
        reject(empty, hour, CONSTANT)
    found = collect_rejects(empty)
    drawn = [(field.entry.rejection.time - START) // hours(1) for field in found.fields]
    assert drawn == [8, 0, 7, 6, 5, 4]
    assert len(drawn) == MAX_SHOWN
    assert np.isnan(found.fields[1].values).all()
    page = Page(render_quality(empty, found, None))
    alts = [image["alt"] for image in page.all("img")]
    assert alts[0] == "Map of the rejected field of 2021-01-01T08:00Z: 280 to 280 K."
    assert alts[1].endswith("no finite value, 48 cells not finite.")


def test_a_field_that_cannot_be_read_is_listed_but_not_drawn(empty):
    reject(empty, 0, CONSTANT)
    reject(empty, 1, CONSTANT)
    path = entries_of(empty)[1].path / FIELD_FILE
    path.write_bytes(path.read_bytes()[:40])
    found = collect_rejects(empty)
    assert len(found.entries) == 2
    assert [field.entry.rejection.time for field in found.fields] == [START]


def test_reasons_that_cannot_be_read_are_a_fault_that_names_them(empty):
    reject(empty, 0, CONSTANT)
    path = entries_of(empty)[0].path
    (path / REASONS_FILE).write_text('{"time": "2021-')
    found = collect_rejects(empty)
    assert (found.entries, found.fields, found.status) == ((), (), ())
    assert str(path) in found.fault
    text = Page(render_quality(empty, found, None)).text
    assert "The quarantine could not be read" in text
    assert "No field was ever rejected" not in text


def test_who_released_a_field_stands_with_its_reasons(empty):
    reject(empty, 0, CONSTANT)
    (entry,) = entries_of(empty)
    Quarantine(Workspace.of(empty).quarantine).record_release(
        entry, Release(parse_time("2021-02-03T04"), "J. Smith", "it <b>was</b> calm")
    )
    text = Page(render_quality(empty, collect_rejects(empty), None)).text
    assert "Released 2021-02-03T04:00Z by J. Smith: it <b>was</b> calm" in text


def test_the_list_has_the_newest_and_says_how_many_it_leaves_out(empty):
    reject(empty, 0, CONSTANT)
    (entry,) = entries_of(empty)
    many = Rejects((entry,) * (MAX_LISTED + 2), (), (Status.MISSING,) * (MAX_LISTED + 2), "")
    html = render_quality(empty, many, None)
    assert "Newest first; 2 older ones are in the folder" in Page(html).text
    listed = html[html.index('id="list"') : html.index('id="replacing"')]
    assert listed.count("<tr>") == MAX_LISTED + 1  # and the heading
    assert "102 fields for 1 time failed" in Page(html).text


def test_months_count_every_status_newest_first(empty):
    times = parse_time("2021-01-31T22") + np.arange(5) * hours(1)
    status = [Status.FINAL, Status.MISSING, Status.PRELIMINARY, Status.FINAL, Status.PRELIMINARY]
    coverage = Coverage(times, np.array(status, np.int8), hours(1))
    text = Page(render_quality(empty, Rejects((), (), (), ""), coverage)).text
    assert "2 fields of 4 usable ones, from 2021-02-01T00:00Z on, will be replaced" in text
    # final, preliminary, quarantined, not published upstream, missing
    assert "2021-02 1 2 0 0 0 2021-01 1 0 0 0 1" in text
    final = Coverage(times[:1], np.array([Status.FINAL], np.int8), hours(1))
    assert (
        "Every usable field is final."
        in Page(render_quality(empty, Rejects((), (), (), ""), final)).text
    )
