import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsntp.errors import TrainingDataError
from lsntp.names import Status
from lsntp.times import format_time, hours, parse_time
from lsntp.training_data.splits import effective_periods, make_split, with_longer_history


def hours_used(init_times, domain):
    """Every time that the windows of ``init_times`` touch, as a set of integers."""
    offsets = np.arange(1 - domain.history, domain.horizon + 1) * domain.cadence
    return set((init_times[:, None] + offsets).ravel().astype(np.int64).tolist())


def test_windows_of_a_complete_archive_counted_by_hand(make_domain, archive):
    split = make_split(make_domain(), archive)
    # history 3, horizon 2: ten days of 240 hours hold 236 windows, from 02 UTC on
    assert split.train.size == 236
    assert format_time(split.train[0]) == "2021-01-01T02:00Z"
    assert format_time(split.train[-1]) == "2021-01-10T21:00Z"
    # five hours are purged from five days: 120 - 5 - 4
    assert split.validation.size == split.test.size == 111
    assert format_time(split.validation[0]) == "2021-01-11T07:00Z"


def test_effective_periods_cut_only_blocks_that_touch(make_domain):
    periods = effective_periods(
        make_domain(
            validation=("2021-01-11T03:00", "2021-01-16"), test=("2021-01-17", "2021-01-21")
        )
    )
    assert str(periods["train"]) == "2021-01-01T00:00Z..2021-01-11T00:00Z"
    assert str(periods["validation"]) == "2021-01-11T05:00Z..2021-01-16T00:00Z"
    assert str(periods["test"]) == "2021-01-17T00:00Z..2021-01-21T00:00Z"


@st.composite
def layouts(draw):
    cadence_h = draw(st.sampled_from([1, 3, 6]))
    bounds = draw(st.lists(st.integers(0, 480), min_size=6, max_size=6, unique=True).map(sorted))
    touching = draw(st.booleans())
    if touching:
        bounds[2], bounds[4] = bounds[1], bounds[3]
    return {
        "cadence_h": cadence_h,
        "history": draw(st.integers(1, 8)),
        "horizon": draw(st.integers(1, 8)),
        "bounds": bounds,
        "lost": draw(st.sets(st.integers(0, 479), max_size=20)),
    }


@given(layouts())
@settings(max_examples=150, deadline=None)
def test_no_hour_is_shared_and_no_window_holds_a_hole(make_domain, make_archive, layout):
    start = parse_time("2021-01-01")
    bounds = [format_time(start + hours(hour)) for hour in layout["bounds"]]
    domain = make_domain(
        train=bounds[0:2],
        validation=bounds[2:4],
        test=bounds[4:6],
        cadence_h=layout["cadence_h"],
        history=layout["history"],
        horizon=layout["horizon"],
    )
    frames = 480 // layout["cadence_h"]
    archive = make_archive(frames, cadence_h=layout["cadence_h"])
    archive.lose(*(index for index in layout["lost"] if index < frames))
    try:
        split = make_split(domain, archive)
    except TrainingDataError:
        return
    used = [hours_used(times, domain) for times in (split.train, split.validation, split.test)]
    assert not used[0] & used[1]
    assert not used[1] & used[2]
    assert not used[0] & used[2]
    gap = domain.purge.astype("timedelta64[ns]").astype(np.int64)
    for earlier, later in ((used[0], used[1]), (used[1], used[2])):
        if later:
            assert min(later) - max(earlier) > gap
    holes = archive.times[~np.isin(archive.status, [1, 2])].astype(np.int64).tolist()
    assert not set(holes) & (used[0] | used[1] | used[2])
    blocks = (domain.split.train, domain.split.validation, domain.split.test)
    for block, times in zip(blocks, used, strict=True):
        touched = np.array(sorted(times), "datetime64[ns]")
        assert block.period.contains(touched).all()


def test_preliminary_hours_count_and_quarantined_ones_do_not(make_domain, make_archive):
    archive = make_archive()
    archive.status[100] = Status.PRELIMINARY
    assert make_split(make_domain(), archive).train.size == 236
    archive.status[100] = Status.QUARANTINED
    assert make_split(make_domain(), archive).train.size == 236 - 5


def test_too_short_a_training_period_says_needed_and_found(make_domain, archive):
    domain = make_domain(train=("2021-01-01", "2021-01-01T04:00"))
    with pytest.raises(TrainingDataError, match=r"at least 5 usable .*train.*found 4 in a row"):
        make_split(domain, archive)


def test_holes_that_leave_no_window_say_the_longest_run(make_domain, make_archive):
    archive = make_archive().lose(*range(4, 240, 5))
    with pytest.raises(TrainingDataError, match="found 4 in a row and 192 of 240 in all"):
        make_split(make_domain(), archive)


def test_an_archive_that_ends_before_validation_says_so(make_domain, make_archive):
    with pytest.raises(
        TrainingDataError, match=r"validation .*found 0 in a row.*ends at 2021-01-10T23:00Z"
    ):
        make_split(make_domain(), make_archive(24 * 10))


def test_an_empty_archive_says_so(make_domain, make_archive):
    with pytest.raises(
        TrainingDataError, match=r"is empty\. Run `lsntp backfill tiny --from 2021-01-01"
    ):
        make_split(make_domain(), make_archive(0))


def test_a_test_block_still_to_come_is_no_error(make_domain, make_archive):
    assert make_split(make_domain(), make_archive(24 * 15)).test.size == 0


def test_a_block_inside_the_purge_gap_is_an_error(make_domain):
    domain = make_domain(validation=("2021-01-11", "2021-01-11T05:00"))
    with pytest.raises(TrainingDataError, match="longer than the purge gap of 5 steps"):
        effective_periods(domain)


def test_a_longer_history_may_reach_into_the_block_before_but_not_before_the_archive(
    make_domain, archive
):
    domain = make_domain()
    split = make_split(domain, archive)
    # 25 frames end at 00 UTC of the second day; of 236 windows from 02 UTC on 22 are too early
    train = with_longer_history(domain, archive, split.train, 25)
    assert format_time(train[0]) == "2021-01-02T00:00Z"
    np.testing.assert_array_equal(train, split.train[22:])
    validation = with_longer_history(domain, archive, split.validation, 25)
    np.testing.assert_array_equal(validation, split.validation)


def test_a_longer_history_begins_no_earlier_than_training_whatever_was_analysed_before(
    make_domain, archive
):
    # analyses from the 1st on; training from the 5th, with windows from 02 UTC on
    domain = make_domain(train=("2021-01-05", "2021-01-11"))
    split = make_split(domain, archive)
    assert format_time(split.train[0]) == "2021-01-05T02:00Z"
    # 25 frames from 00 UTC of the 5th on end at 00 UTC of the 6th
    train = with_longer_history(domain, archive, split.train, 25)
    assert format_time(train[0]) == "2021-01-06T00:00Z"
    np.testing.assert_array_equal(train, split.train[22:])


def test_a_hole_in_a_longer_history_costs_every_window_that_looks_back_over_it(
    make_domain, archive
):
    domain = make_domain()
    archive.lose(100)  # 2021-01-05T04
    split = make_split(domain, archive)
    kept = with_longer_history(domain, archive, split.train, 25)
    hole = parse_time("2021-01-05T04:00")
    behind = (kept - hole) / hours(1)
    assert not ((behind >= 0) & (behind <= 24)).any()
    assert (behind == 25).any()


def test_a_history_no_longer_than_the_domain_s_leaves_the_windows_as_they_are(make_domain, archive):
    split = make_split(make_domain(), archive)
    np.testing.assert_array_equal(
        with_longer_history(make_domain(), archive, split.train, 3), split.train
    )


def test_a_block_without_any_longer_history_is_refused(make_domain, archive):
    split = make_split(make_domain(), archive)
    with pytest.raises(TrainingDataError, match=r"Expected usable analyses at 25 times .* yester"):
        with_longer_history(make_domain(), archive, split.train[:5], 25)
