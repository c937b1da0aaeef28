"""The vocabulary, spelled once: dimensions, variables, units and status codes."""

import re
from collections.abc import Iterable
from enum import IntEnum
from typing import Final

TIME: Final = "time"
LATITUDE: Final = "latitude"
LONGITUDE: Final = "longitude"
INIT_TIME: Final = "init_time"
LEAD_TIME: Final = "lead_time"
VALID_TIME: Final = "valid_time"

T2M: Final = "t2m"
STATUS: Final = "status"
SOURCE_DIGEST: Final = "source_digest"
INGESTED_AT: Final = "ingested_at"

QUANTILE: Final = "quantile"
T2M_QUANTILE: Final = "t2m_quantile"
QUANTILES: Final = tuple((number + 0.5) / 10 for number in range(10))
"""Of every calibrated forecast: 0.05, 0.15 … 0.95. Equally likely, so that they stand for the
distribution: their CRPS is that of ten members, their outermost enclose nine times in ten."""

OROGRAPHY: Final = "orography"
LAND_FRACTION: Final = "land_fraction"

CHAMPION: Final = "champion"
"""The model that stands for whichever version the gate chose; no other may be named so."""
VERSION_PATTERN: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}-[0-9a-f]{12}")
"""``<model>-<digest>``, the whole name of a model version."""

KELVIN: Final = "K"
T2M_STANDARD_NAME: Final = "air_temperature"
FIELD_DIMS: Final = (TIME, LATITUDE, LONGITUDE)
FORECAST_DIMS: Final = (INIT_TIME, LEAD_TIME, LATITUDE, LONGITUDE)

DIGEST_BYTE: Final = "digest_byte"
"""The dimension of the octets of a digest."""
DIGEST_BYTES: Final = 32


class Status(IntEnum):
    """What the analysis archive knows about one hour."""

    MISSING = 0
    PRELIMINARY = 1
    FINAL = 2
    QUARANTINED = 3
    UPSTREAM_HOLE = 4

    @property
    def is_usable(self) -> bool:
        """Whether the hour holds a true field (preliminary or final)."""
        return self in (Status.PRELIMINARY, Status.FINAL)


def version_options(names: Iterable[str]) -> str:
    """`` --model VERSION`` of each version among ``names``: commands do those only if named."""
    return "".join(f" --model {name}" for name in names if VERSION_PATTERN.fullmatch(name))


EXPVER_STATUS: Final = {"0001": Status.FINAL, "0005": Status.PRELIMINARY}
"""ERA5 experiment version -> status (0001 is ERA5, 0005 is preliminary ERA5T)."""
