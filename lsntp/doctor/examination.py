"""All checks of this package for a domain, or for a machine that has none yet."""

from pathlib import Path

import numpy as np

from lsntp.config import Domain, Era5Source, GfsSource, NcepR1Source
from lsntp.doctor.check import Check
from lsntp.doctor.machine import (
    check_clock,
    check_packages,
    check_python,
    check_room,
    check_storage,
)
from lsntp.times import utc_now
from lsntp.workspace import Workspace


def examine(domain: Domain | None, root: Path) -> list[Check]:
    """Every check that applies, in the order in which to cure them.

    Args:
        domain: whose source to ask; None asks for ERA5's key only, which every newcomer needs.
        root: where the archives of a domain that is not known yet would live.
    """
    from lsntp.doctor.upstreams import Examination, examine_bucket, examine_cds, examine_hosts

    root = Workspace.of(domain).root if domain else root
    upstreams = Examination()
    match domain.source if domain else Era5Source():
        case Era5Source() as config:
            examine_cds(config, upstreams)
        case GfsSource() as config:
            examine_bucket(config, upstreams)
        case NcepR1Source() as config:
            last_year = int(utc_now().astype("datetime64[Y]").astype(np.int64)) + 1970 - 1
            examine_hosts(config, last_year, upstreams)
        case _:
            pass
    return [
        check_python(),
        check_packages(),
        check_storage(root),
        check_room(root),
        check_clock(upstreams.clocks, domain),
        *upstreams.checks,
    ]
