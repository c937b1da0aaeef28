"""All checks of this package for a domain, or for a machine that has none yet."""

import numpy as np

from lsntp.config import Domain, Era5Source, GfsSource, NcepR1Source, StaticEra5, StaticGfs
from lsntp.doctor.bucket import check_bucket
from lsntp.doctor.check import Check
from lsntp.doctor.machine import (
    check_clock,
    check_packages,
    check_python,
    check_room,
    check_storage,
)
from lsntp.places import Place, S3Path
from lsntp.times import utc_now
from lsntp.workspace import Workspace


def examine(domain: Domain | None, root: Place) -> list[Check]:
    """Every check that applies, in the order in which to cure them.

    Args:
        domain: whose source and origin of static fields to ask; None asks for ERA5's key only,
            which every newcomer needs.
        root: where the archives of a domain that is not known yet would live.
    """
    from lsntp.doctor.upstreams import Examination, examine_bucket, examine_cds, examine_hosts

    workspace = Workspace.of(domain) if domain else Workspace(root, "any")
    upstreams = Examination()
    source, ground = (domain.source, domain.static) if domain else (Era5Source(), None)
    datasets = [one.dataset for one in (source, ground) if isinstance(one, Era5Source | StaticEra5)]
    for dataset in dict.fromkeys(datasets):
        examine_cds(dataset, upstreams)
    buckets = [one for one in (source, ground) if isinstance(one, GfsSource | StaticGfs)]
    yesterday = utc_now().astype("datetime64[D]") - np.timedelta64(1, "D")
    for bucket, resolution in dict.fromkeys((one.bucket, one.resolution) for one in buckets):
        examine_bucket(bucket, resolution, yesterday.astype("datetime64[ns]"), upstreams)
    if isinstance(source, NcepR1Source):
        last_year = int(yesterday.astype("datetime64[Y]").astype(np.int64)) + 1970 - 1
        examine_hosts(source, last_year, upstreams)
    return [
        check_python(),
        check_packages(),
        *_check_places(workspace),
        check_clock(upstreams.clocks, domain),
        *upstreams.checks,
    ]


def _check_places(workspace: Workspace) -> list[Check]:
    """Where the archives live, and where this machine works."""
    root, machine = workspace.root, workspace.machine
    if isinstance(root, S3Path):
        return [check_bucket(root), check_storage(machine, "work folder"), check_room(machine)]
    return [check_storage(root), check_room(root)]
