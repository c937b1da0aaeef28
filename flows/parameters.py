"""From the plain values a flow run is given to what the tasks need."""

from typing import Any

import numpy as np

from lsntp.config import Domain, load_domain
from lsntp.times import Period, parse_time

Overrides = dict[str, Any] | None

END_OF_TIME = "2200-01-01"


def resolve(domain: str, overrides: Overrides = None) -> Domain:
    """The resolved domain of a preset name or YAML path; see :func:`lsntp.config.load_domain`."""
    return load_domain(domain, overrides=overrides)


def ingest_period(domain: Domain, start: str | None, end: str | None) -> Period | None:
    """The hours to ingest; ``None`` is everything the source has."""
    if start is None and end is None:
        return None
    until = parse_time(end) if end else np.datetime64("now", "ns") + domain.cadence
    return Period(parse_time(start) if start else domain.start, until)


def forecast_period(domain: Domain, start: str | None, end: str | None) -> Period:
    """The initial times to forecast from; without ``start`` from the test period on.

    Earlier hours were seen in training, so a forecast from them would flatter the model.
    """
    first = parse_time(start) if start else domain.split.test.period.start
    return Period(first, parse_time(end or END_OF_TIME))
