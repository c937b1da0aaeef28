"""Is there room for what comes next?"""

import shutil
from pathlib import Path
from typing import Final

from lsntp.alarms.finding import AlarmName, Finding, Level
from lsntp.config import Domain
from lsntp.workspace import Workspace

GB: Final = 1e9


def place_of(domain: Domain) -> Path:
    """The archive root (of a bucket the work folder), or the nearest folder that is there."""
    root = Workspace.of(domain).machine
    return next(folder for folder in (root, *root.parents) if folder.exists())


def disk_space(domain: Domain) -> Finding:
    """Whether the disk of the archives has room.

    Raises:
        OSError: if the disk cannot be asked.
    """
    rule, root = domain.alarms, Workspace.of(domain).machine
    free = shutil.disk_usage(place_of(domain)).free / GB
    return Finding(
        AlarmName.DISK_SPACE,
        Level.falling(free, rule.disk_low_gb, rule.disk_min_gb),
        expected=f"{rule.disk_min_gb:g} GB free",
        found=f"{free:.1f} GB free",
        where=str(root),
        remedy="make room: training archives (training/) and reports (reports/) are made again "
        "when needed; a full disk loses nothing that is stored, but nothing new comes in",
        limits=f"green from {rule.disk_low_gb:g} GB on, red below {rule.disk_min_gb:g} GB",
    )
