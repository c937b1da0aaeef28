import base64
import io

import numpy as np
from matplotlib.image import imread

from lsntp.archives.coverage import Coverage
from lsntp.names import Status
from lsntp.report.calendar import MAX_GAPS, calendar
from lsntp.times import Period, hours, parse_time


def coverage_of(status, *, start="2019-03-01", cadence_h=6):
    times = parse_time(start) + np.arange(len(status)) * hours(cadence_h)
    return Coverage(times, np.array(status, np.int8), hours(cadence_h))


def picture(strip):
    content = base64.b64decode(strip.image.partition(",")[2])
    return imread(io.BytesIO(content), format="png")


def test_columns_are_days_and_rows_times_of_day():
    status = [Status.FINAL] * 12
    status[5] = Status.MISSING  # 2019-03-02T06: second column, second row
    (strip,) = calendar(coverage_of(status), {}).strips
    alpha = picture(strip)[..., 3]
    assert alpha.shape == (4, 3)
    assert np.argwhere(alpha == 0).tolist() == [[1, 1]]


def test_counts_add_up_and_gaps_are_named():
    status = [2, 2, 0, 0, 3, 1, 4, 2]
    view = calendar(coverage_of(status), {})
    assert {row.key: row.count for row in view.counts} == {
        "final": 3,
        "preliminary": 1,
        "quarantined": 1,
        "upstream_hole": 1,
        "missing": 2,
    }
    assert view.sentence.startswith("4 of 8 times")
    assert view.gaps == [
        "2019-03-01T12:00Z to 2019-03-02T00:00Z: missing",
        "2019-03-02T00:00Z to 2019-03-02T06:00Z: quarantined",
        "2019-03-02T12:00Z to 2019-03-02T18:00Z: not published upstream",
    ]


def test_many_gaps_are_cut_short_and_said_so():
    view = calendar(coverage_of([2, 0] * 30), {})
    assert len(view.gaps) == MAX_GAPS + 1
    assert view.gaps[-1] == "and 10 more spans"


def test_a_long_archive_has_a_strip_a_year_on_a_common_scale():
    count = 4 * (365 + 365 + 59)
    view = calendar(coverage_of([2] * count, start="2021-01-01"), {})
    assert [picture(strip).shape[1] for strip in view.strips] == [365, 365, 59]
    assert [round(strip.width, 1) for strip in view.strips] == [99.7, 99.7, 16.1]


def test_periods_stand_below_their_days():
    blocks = {
        "training": Period.parse("2019-03-01", "2019-03-05"),
        "test": Period.parse("2019-03-06", "2019-04-01"),
        "later": Period.parse("2020-01-01", "2020-02-01"),
    }
    (strip,) = calendar(coverage_of([2] * 40), blocks).strips  # ten days
    assert [(p.label, round(p.left), round(p.width)) for p in strip.parts] == [
        ("training", 0, 40),
        ("test", 50, 50),
    ]


def test_a_short_span_is_labelled_by_mondays():
    (strip,) = calendar(coverage_of([2] * 40), {}).strips
    assert [tick.label for tick in strip.ticks] == ["2019-03-04"]
    assert strip.ticks[0].percent == 30.0
