"""The source against a real S3 server: what it offers, what it reads, and how much it moves."""

import numpy as np
import pytest

from lsntp.errors import SourceDataError
from lsntp.grid import regular_grid
from lsntp.names import Status
from lsntp.sources import ForecastingSource, Upstream
from lsntp.times import Period, hours, parse_time
from tests.lsntp.sources.gfs.conftest import AREA, RUN
from tests.lsntp.sources.gfs.reading import KEY, TIMES, Open, Publish, assert_whole, values_of
from tests.standins import gfs
from tests.standins.s3 import S3

# --- what is there ------------------------------------------------------------------------------


def test_it_promises_what_sources_beyond_a_network_promise(open_gfs: Open) -> None:
    source = open_gfs()
    assert isinstance(source, Upstream)
    assert isinstance(source, ForecastingSource)
    assert source.pending(Period.parse("2024-01-01", "2025-01-01")).size == 0


def test_runs_are_offered_once_they_are_due(open_gfs: Open) -> None:
    source = open_gfs("2024-03-01T15:41", publication_h=3.7)
    offered = source.available(Period.parse("2024-03-01", "2024-03-03"))
    assert [str(time)[:13] for time in offered] == ["2024-03-01T00", "2024-03-01T06"]
    later = open_gfs("2024-03-01T15:42", publication_h=3.7)
    assert later.available(Period.parse("2024-03-01", "2024-03-03"))[-1] == parse_time(
        "2024-03-01T12"
    )


def test_nothing_is_offered_before_the_bucket_begins_or_beyond_now(open_gfs: Open) -> None:
    source = open_gfs()
    assert source.available(Period.parse("2019-01-01", "2020-01-01")).size == 0
    assert source.available(Period.parse("2019-01-01", "2021-01-02")).size == 4
    assert source.available(Period.parse("2030-01-01", "2031-01-01")).size == 0


def test_an_axis_that_never_meets_a_run_is_refused(bucket: S3, open_gfs: Open) -> None:
    source = open_gfs()
    source._origin = parse_time("2024-03-01T03")
    with pytest.raises(SourceDataError, match=r"archive\.start"):
        source.available(Period.parse("2024-01-01", "2025-01-01"))
    assert not bucket.requests


# --- an analysis --------------------------------------------------------------------------------


def test_an_analysis_is_the_field_that_eccodes_decodes(
    publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    publish()
    (frames,) = open_gfs().fetch(TIMES, AREA)
    np.testing.assert_array_equal(frames.t2m.values[0], expected)
    assert frames.time.values.tolist() == TIMES.astype("datetime64[ns]").tolist()
    assert frames.status.values.tolist() == [Status.FINAL]
    assert frames.latitude.values.tolist() == list(range(56, 46, -1))
    assert frames.longitude.values.tolist() == list(range(-6, 8))
    assert frames.attrs["source"] == "gfs"
    assert frames.attrs["files"].endswith("/gfs.*.pgrb2.1p00.f000")


def test_one_analysis_out_of_a_large_object_moves_less_than_2_mb(
    bucket: S3, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    content = publish(padding=3000)
    assert len(content) > 30e6
    np.testing.assert_array_equal(values_of(open_gfs())[0], expected)
    assert [request.method for request in bucket.requests] == ["HEAD", "GET", "GET"]
    assert len(gfs.inventory(content)) < bucket.sent < 2e6


def test_requests_are_anonymous_unless_there_is_a_key(
    bucket: S3, publish: Publish, open_gfs: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    values_of(open_gfs())
    assert not any(request.is_signed for request in bucket.requests)
    bucket.forget()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "reader-secret")
    values_of(open_gfs())
    assert all(request.is_signed for request in bucket.requests)


def test_the_last_message_of_an_object_ends_with_the_object(
    publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    publish(t2m_last=True)
    assert_whole(open_gfs, expected)


def test_before_march_2021_objects_lie_a_folder_higher(
    bucket: S3, library: gfs.Library, open_gfs: Open, expected: np.ndarray
) -> None:
    time = parse_time("2021-03-22T18")
    content = library.product(time)
    bucket.put("gfs.20210322/18/gfs.t18z.pgrb2.1p00.f000", content)
    bucket.put("gfs.20210322/18/gfs.t18z.pgrb2.1p00.f000.idx", gfs.inventory(content))
    np.testing.assert_array_equal(values_of(open_gfs(), np.array([time]))[0], expected)


def test_several_runs_come_in_the_order_they_were_asked_for(
    publish: Publish, open_gfs: Open, library: gfs.Library
) -> None:
    (field,) = gfs.t2m_of([library.t2m])
    times = RUN + np.arange(5) * hours(6)
    contents = [publish(time, values=field + 0.5 * i) for i, time in enumerate(times)]
    (frames,) = open_gfs().fetch(times, AREA)
    assert np.array_equal(frames.time.values, times)
    truth = gfs.t2m_of(contents)[:, 90 - 50, 2]  # 50 N, 2 E
    found = frames.t2m.sel(latitude=50, longitude=2).values
    np.testing.assert_array_equal(found, truth.astype(np.float32))
    assert len(set(found)) == 5


def test_the_globe_can_be_asked_for(publish: Publish, open_gfs: Open) -> None:
    publish()
    globe = regular_grid(north=90, south=-90, west=-180, east=179, spacing=1)
    (frames,) = open_gfs().fetch(TIMES, globe)
    assert frames.t2m.shape == (1, 181, 360)


# --- forecasts ----------------------------------------------------------------------------------


def test_a_forecast_is_whole_or_left_out(
    bucket: S3, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    leads = np.array([6, 12]) * hours(1)
    first, second = RUN, RUN + hours(6)
    for run, step in ((first, 6), (first, 12), (second, 6)):
        publish(run, step)
    found = open_gfs("2024-03-01T18").fetch_forecasts(np.array([first, second]), leads, AREA)
    assert found is not None
    assert found.init_time.values.tolist() == np.array([first], "datetime64[ns]").tolist()
    np.testing.assert_array_equal(found.values, [[expected, expected]])
    publish(second, 12)
    found = open_gfs("2024-03-01T18").fetch_forecasts(np.array([first, second]), leads, AREA)
    assert found is not None
    assert found.shape == (2, 2, *expected.shape)


def test_a_run_without_its_last_step_costs_one_look(
    bucket: S3, publish: Publish, open_gfs: Open
) -> None:
    publish(RUN, 6)
    leads = np.array([6, 12]) * hours(1)
    assert open_gfs().fetch_forecasts(TIMES, leads, AREA) is None
    assert [request.path for request in bucket.requests] == [f"/{bucket.bucket}/{gfs.key(RUN, 12)}"]


def test_no_forecast_at_all_is_nothing(open_gfs: Open) -> None:
    assert open_gfs().fetch_forecasts(TIMES, np.array([hours(6)]), AREA) is None


def test_an_object_of_another_step_is_no_forecast(
    bucket: S3, library: gfs.Library, open_gfs: Open
) -> None:
    other = library.product(RUN, 12)
    key = gfs.key(RUN, 6)
    bucket.put(key, other)
    bucket.put(f"{key}.idx", gfs.inventory(other))
    with pytest.raises(SourceDataError, match=r"forecasts 6 h ahead.*step 12"):
        open_gfs().fetch_forecasts(TIMES, np.array([hours(6)]), AREA)


def test_a_forecast_in_the_place_of_an_analysis_is_refused(
    bucket: S3, library: gfs.Library, open_gfs: Open
) -> None:
    other = library.product(RUN, 6)
    bucket.put(KEY, other)
    bucket.put(f"{KEY}.idx", gfs.inventory(other))
    with pytest.raises(SourceDataError, match=r"analyses.*a forecast \(step 6\)"):
        open_gfs().fetch(TIMES, AREA)


# --- not yet, and holes -------------------------------------------------------------------------


def test_a_missing_object_is_not_yet_and_in_the_end_a_hole(
    open_gfs: Open, publish: Publish, expected: np.ndarray
) -> None:
    source = open_gfs("2024-03-03T05", give_up_h=48)
    assert source.fetch(TIMES, AREA) == []
    assert source.holes() == []
    later = open_gfs("2024-03-03T06", give_up_h=48)
    assert later.fetch(TIMES, AREA) == []
    (hole,) = later.holes()
    assert hole.time == RUN
    assert KEY in hole.why
    publish()
    assert_whole(open_gfs, expected)


def test_an_empty_object_counts_as_missing(
    bucket: S3, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    bucket.put(KEY, b"")
    assert open_gfs().fetch(TIMES, AREA) == []
    later = open_gfs("2024-04-01")
    assert later.fetch(TIMES, AREA) == []
    (hole,) = later.holes()
    assert "empty" in hole.why
    publish()
    assert_whole(open_gfs, expected)


def test_what_is_there_is_fetched_beside_what_is_missing(
    publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    publish()
    times = RUN + np.array([-1, 0, 1]) * hours(6)
    np.testing.assert_array_equal(values_of(open_gfs(), times), [expected])
