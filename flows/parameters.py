"""From the plain values a flow run is given to what the tasks need."""

from typing import Any

from lsntp.config import Domain, GfsSource, load_domain
from lsntp.times import LAST_INSTANT, Period, parse_time

Overrides = dict[str, Any] | None


def resolve(domain: str, overrides: Overrides = None) -> Domain:
    """The resolved domain of a preset name or YAML path; see :func:`lsntp.config.load_domain`."""
    return load_domain(domain, overrides=overrides)


def ingest_period(domain: Domain, start: str | None, end: str | None) -> Period | None:
    """The hours to ask for; ``None`` if neither bound is given, and the run itself chooses.

    An ingest then takes all that files have, or of a source beyond a network what its budget
    allows; a reconciliation the preliminary hours that are old enough.
    """
    return None if start is None and end is None else period_between(domain, start, end)


def forecast_period(domain: Domain, start: str | None, end: str | None) -> Period:
    """The initial times to forecast from; without ``start`` from the test period on.

    Earlier hours were seen in training, so a forecast from them would flatter the model.
    """
    first = parse_time(start) if start else domain.split.test.period.start
    return Period(first, parse_time(end or LAST_INSTANT))


def fetched_at_once(domain: Domain) -> int | None:
    """From how many initial times a scheduled run fetches the source's own forecasts."""
    return domain.source.forecasts_per_run if isinstance(domain.source, GfsSource) else None


def period_between(domain: Domain, start: str | None, end: str | None) -> Period:
    """From ``start``, by default that of the archive, to ``end``, by default without end.

    What is stored or offered ends it then, never the wall clock.
    """
    return Period(parse_time(start) if start else domain.start, parse_time(end or LAST_INSTANT))
