"""What this machine must have: Python, packages, a place to write, room, and a clock."""

import fcntl
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

import numpy as np
from packaging.requirements import Requirement

from lsntp.archives.analysis import AnalysisArchive
from lsntp.config import Domain
from lsntp.doctor.check import Check, failed, passed, skipped
from lsntp.errors import LsntpError
from lsntp.times import Instant, format_time, parse_time, utc_now
from lsntp.workspace import Workspace

PACKAGE: Final = "lsntp"
OLDEST_PYTHON: Final = (3, 11)
NOTABLE: Final = ("prefect", "fastapi", "sqlalchemy", "zarr", "torch")
"""Packages whose versions are shown: the scheduler breaks silently with others."""
ROOM_BYTES: Final = 2 * 2**30
CLOCK_SLACK_S: Final = 120.0
FIRST_CREDIBLE: Final = np.datetime64("2025-01-01", "ns")
"""A clock before it was never set."""


def check_python() -> Check:
    """The interpreter."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= OLDEST_PYTHON:
        return passed("python", found)
    oldest = ".".join(map(str, OLDEST_PYTHON))
    remedy = f"make the environment anew with Python {oldest} or newer"
    return failed("python", expected=f"{oldest} or newer", found=found, remedy=remedy)


def check_packages(package: str = PACKAGE) -> Check:
    """Every package that is needed, in a version that is known to work.

    Args:
        package: whose requirements; as it is installed, so that they are stated once.
    """
    try:
        needed = [Requirement(line) for line in requires(package) or []]
    except PackageNotFoundError:
        return skipped("packages", f"{package} runs from a folder, not installed: nothing to go by")
    needed = [one for one in needed if one.marker is None or one.marker.evaluate()]
    wrong = []
    for one in needed:
        found = _version(one.name)
        if not found or not one.specifier.contains(found, prereleases=True):
            wrong.append(f"{one.name}{one.specifier}, found {found or 'none'}")
    if wrong:
        return failed(
            "packages",
            expected="the versions that are known to work",
            found="; ".join(wrong),
            remedy="pip install -c constraints.txt . (with others the scheduler may start and "
            "never run anything)",
        )
    shown = ", ".join(f"{name} {_version(name) or 'none'}" for name in NOTABLE)
    return passed("packages", f"{len(needed)} as needed: {shown}")


def check_storage(root: Path, name: str = "archive root") -> Check:
    """Whether files can be written, renamed and locked where the archives live."""
    place = _existing(root)
    expected = f"a folder where files can be written and locked at {root}"
    try:
        with tempfile.TemporaryDirectory(prefix=".lsntp-doctor-", dir=place) as folder:
            file = Path(folder) / "probe"
            file.write_bytes(b"probe")
            file = file.rename(file.with_suffix(".renamed"))
            is_exclusive = _locks_out(file)
    except OSError as error:
        return failed(
            name,
            expected=expected,
            found=f"{error.strerror or error}",
            remedy="permit writing there, mount it with locks, or set root or LSNTP_ROOT to "
            "another folder",
        )
    if not is_exclusive:
        return failed(
            name,
            expected=expected,
            found="a second lock on a locked file",
            remedy="mount it with locks (NFS: without nolock), or set root or LSNTP_ROOT to a "
            "local disk; without locks two writers destroy an archive",
        )
    there = "" if place == root else f" (not there yet; {place} is)"
    return passed(name, f"{root} can be written and locked{there}")


def check_room(root: Path, needed_bytes: int = ROOM_BYTES) -> Check:
    """Whether the disk of the archives has room."""
    free = shutil.disk_usage(_existing(root)).free
    found = f"{free / 2**30:.1f} GiB free"
    if free >= needed_bytes:
        return passed("disk space", found)
    return failed(
        "disk space",
        expected=f"{needed_bytes / 2**30:.1f} GiB free at {root}",
        found=found,
        remedy="make room: old training archives (training/) are made again when needed, reports "
        "(reports/) too; nothing stored is lost by a full disk",
    )


def seconds_ahead(date: str | None) -> float | None:
    """By how much the clock behind a ``Date`` header (RFC 9110, 6.6.1) is ahead of ours, in s."""
    if date is None:
        return None
    try:
        theirs = parse_time(parsedate_to_datetime(date))
    except ValueError:
        return None
    return float((theirs - utc_now()) / np.timedelta64(1, "s"))


def check_clock(ahead_s: Mapping[str, float], domain: Domain | None = None) -> Check:
    """Whether this machine's clock agrees with others', and with what it said before.

    Args:
        ahead_s: by host that answered: by how many seconds its clock is ahead of ours.
        domain: whose archive tells when it was last written.
    """
    remedy = "set the clock (timedatectl set-ntp true); hours are asked for by their age"
    before, tick = time.time(), time.monotonic()
    time.sleep(0.05)
    drift_s = abs((time.time() - before) - (time.monotonic() - tick))
    now = utc_now()
    last = _last_written(domain)
    expected = "a clock that is set and runs on"
    if now < FIRST_CREDIBLE or drift_s > 1:
        found = f"{format_time(now)}, {drift_s:.1f} s off within 0.05 s"
        return failed("clock", expected=expected, found=found, remedy=remedy)
    if last is not None and last > now + np.timedelta64(int(CLOCK_SLACK_S), "s"):
        found = f"{format_time(now)}, before the last writing of the archive, {format_time(last)}"
        return failed("clock", expected=expected, found=found, remedy=remedy)
    for host, seconds in ahead_s.items():
        if abs(seconds) > CLOCK_SLACK_S:
            way = "behind" if seconds > 0 else "ahead of"
            return failed(
                "clock",
                expected=f"the time of {host}, {CLOCK_SLACK_S:g} s at most off",
                found=f"{format_time(now)}, {abs(seconds):.0f} s {way} it",
                remedy=remedy,
            )
    hosts = ", ".join(ahead_s)
    agrees = f"agrees with {hosts}" if hosts else "nobody answered to compare it with"
    return passed("clock", f"{format_time(now)}; {agrees}")


def _last_written(domain: Domain | None) -> Instant | None:
    if domain is None:
        return None
    try:
        archive = AnalysisArchive.open(Workspace.of(domain).analysis)
        written = archive.ingested_at(archive.times)
    except LsntpError:  # absent, damaged or refused: other checks tell that
        return None
    written = written[~np.isnat(written)]
    return written.max() if written.size else None


def _locks_out(file: Path) -> bool:
    """Whether a second lock on a locked file is refused."""
    with file.open("rb+") as first, file.open("rb+") as second:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    path = path.expanduser().absolute()
    return next(place for place in (path, *path.parents) if place.exists())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
