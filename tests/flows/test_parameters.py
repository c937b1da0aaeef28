"""What a typed period means: no clock decides where it ends."""

import pytest

from flows.parameters import forecast_period, ingest_period, period_between
from lsntp.config import load_domain
from lsntp.errors import DomainError
from lsntp.times import LAST_INSTANT, Period, parse_time

DEMO = load_domain("demo")


def test_without_an_end_a_period_goes_on_whatever_the_clock_says() -> None:
    far = "2150-01-01"  # later than any wall clock that runs this
    assert ingest_period(DEMO, far, None) == Period(parse_time(far), parse_time(LAST_INSTANT))
    assert forecast_period(DEMO, far, None) == Period(parse_time(far), parse_time(LAST_INSTANT))


def test_without_a_start_it_begins_with_the_archive_and_forecasts_with_the_test() -> None:
    end = "2150-01-01"
    assert ingest_period(DEMO, None, end) == period_between(DEMO, None, end)
    assert period_between(DEMO, None, end).start == DEMO.start
    assert forecast_period(DEMO, None, end).start == DEMO.split.test.period.start


def test_nothing_typed_is_everything_the_source_has() -> None:
    assert ingest_period(DEMO, None, None) is None


def test_a_reversed_period_is_refused() -> None:
    with pytest.raises(DomainError, match="start lies before its end"):
        ingest_period(DEMO, "2024-02-02", "2024-02-01")
