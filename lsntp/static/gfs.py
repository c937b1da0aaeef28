"""Height and land of a GFS analysis: two byte ranges of an object in the public bucket."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lsntp.archives.staging import storage_errors
from lsntp.config import StaticGfs
from lsntp.errors import SourceDataError
from lsntp.names import LAND_FRACTION, OROGRAPHY
from lsntp.sources.decoding import open_surface
from lsntp.sources.framing import END, MAGIC
from lsntp.sources.gfs.bucket import Bucket, RangeRefusedError
from lsntp.sources.gfs.index import IndexFaultError, field_range
from lsntp.sources.gfs.messages import Ticket
from lsntp.times import Instant

logger = logging.getLogger(__name__)

ELEMENTS = {OROGRAPHY: "HGT", LAND_FRACTION: "LAND"}
LEVEL = "surface"
DAYS = 5
"""How many days back an analysis is looked for: any that is whole will do."""


class GfsGround:
    """See :class:`lsntp.static.origins.Origin`.

    Args:
        config: bucket, resolution and patience.
        folder: for the two messages.
        clock: what time it is.
    """

    def __init__(self, config: StaticGfs, folder: Path, clock: Callable[[], Instant]) -> None:
        self._config = config
        self._folder = folder
        self._clock = clock
        self._bucket = Bucket(
            config.bucket,
            connections=1,
            retries=config.retries,
            pause_s=config.pause_s,
            timeout_s=config.timeout_s,
            deadline_s=config.deadline_minutes * 60,
        )

    @property
    def description(self) -> str:
        """``GFS analysis (0p25) of s3://noaa-gfs-bdp-pds``."""
        return f"GFS analysis ({self._config.resolution}) of s3://{self._config.bucket}"

    @property
    def digest(self) -> str:
        """Of the configuration: the fields of all analyses are the same."""
        return hashlib.sha256(self.description.encode()).hexdigest()

    def paths(self) -> Sequence[Path]:
        """See :meth:`lsntp.static.origins.Origin.paths`.

        Raises:
            SourceDataError: if no analysis of the last days has both fields.
            SourceUnavailableError: if the bucket cannot be read now.
            CredentialsError: if it refuses us.
        """
        today = self._clock().astype("datetime64[D]")
        faults: list[str] = []
        for age in range(1, DAYS + 1):
            ticket = Ticket((today - np.timedelta64(age, "D")).astype("datetime64[ns]"), 0)
            key = ticket.key(self._config.resolution)
            try:
                return self._fetch(key, ticket.init_time)
            except (IndexFaultError, RangeRefusedError, SourceDataError) as error:
                faults.append(f"{self._bucket.where(key)}: {error}")
                logger.warning("no static fields in %s", faults[-1])
        raise SourceDataError(
            f"Expected height ({ELEMENTS[OROGRAPHY]}) and land ({ELEMENTS[LAND_FRACTION]}) at the "
            f"surface in a GFS analysis of the last {DAYS} days, found none; the last: "
            f"{faults[-1]}. Check static.bucket and static.resolution."
        )

    def _fetch(self, key: str, init_time: Instant) -> list[Path]:
        head = self._bucket.head(key)
        inventory = self._bucket.read(f"{key}.idx")
        if head is None or inventory is None:
            raise SourceDataError("there is no such object, or it has no index")
        found = []
        for kind, element in ELEMENTS.items():
            span = field_range(
                inventory, element, LEVEL, init_time=init_time, step_h=0, size=head.size
            )
            content = self._bucket.read_range(key, head, span)
            found.append(self._keep(kind, content))
        return found

    def _keep(self, kind: str, content: bytes) -> Path:
        """One message as a file, if it is the field it should be."""
        path = self._folder / f"gfs.{kind}.grib2"
        if not (content.startswith(MAGIC) and content.endswith(END)):
            raise SourceDataError(f"its index points between messages for {kind}")
        with storage_errors(str(self._folder)):
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if [field.kind for field in open_surface(path)] != [kind]:
            raise SourceDataError(f"its index points at another field for {kind}")
        return path
