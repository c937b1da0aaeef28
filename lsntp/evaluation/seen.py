"""What the versions that made forecasts had seen, as the provenance stored with them says."""

import json
from collections.abc import Iterator
from typing import Any, Final

from lsntp.config import Domain
from lsntp.errors import LsntpError
from lsntp.times import Instant, parse_time
from lsntp.workspace import Workspace

PROVENANCE: Final = "provenance.json"
"""As :mod:`lsntp.training.versions` names it, which stands above this room."""


def seen_until(domain: Domain, version: str) -> Instant:
    """The end of what a version, and all that it was fine-tuned from, were fitted or chosen on.

    The split of the domain may have moved since. It counts only for a version of which it cannot
    be told: where one of them is no longer stored, or is none of ours.

    Args:
        domain: whose version.
        version: its whole name.

    Raises:
        StorageError: if the storage refuses.
    """
    ends = list(_ends(domain, version))
    return max(domain.split.validation.period.end if end is None else end for end in ends)


def _ends(domain: Domain, version: str) -> Iterator[Instant | None]:
    """The end of validation of a version and of each it was fine-tuned from; None where unknown."""
    named: str | None = version
    while named is not None:
        recipe = _recipe(domain, named)
        try:
            yield parse_time(recipe["validation_period"][1])
            named = recipe["parent"]
        except (LookupError, TypeError, LsntpError):
            yield None
            return


def _recipe(domain: Domain, version: str) -> Any:
    """What decided a version; None where that is not stored or cannot be read."""
    try:
        content = (Workspace.of(domain).models / version / PROVENANCE).read_bytes()
        return json.loads(content)["recipe"]
    except LsntpError:
        raise
    except (OSError, ValueError, LookupError, TypeError):
        return None
