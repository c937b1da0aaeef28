"""From a finished job to a file that may be used: where from, whole, and what was asked."""

import fnmatch
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from ecmwf.datastores import Results

from lsntp.aside import temporary_folder
from lsntp.errors import SourceDataError, SourceUnavailableError
from lsntp.grid import COORDINATE_TOLERANCE_DEG
from lsntp.sources.decoding import open_parts
from lsntp.sources.era5.request import Request
from lsntp.sources.native import NativeGrid
from lsntp.sources.transfer import Limits, download, host_of, is_safe
from lsntp.sources.unknown import HEAD_BYTES, describe
from lsntp.times import Times, format_time

_HASHES = {32: "md5", 64: "sha256"}
_BYTES_PER_CELL = 8
_BYTES_PER_FIELD = 2**16
_BYTES_PER_FILE = 2**20
_PLAIN_AUTHORITY = re.compile(r"[a-zA-Z]+://[A-Za-z0-9.:\[\]-]+(?=[/?#]|\Z)")
"""A host in which no two parsers differ: neither escapes nor backslashes nor credentials."""


class ForbiddenError(SourceDataError):
    """A result lies where nothing may be fetched from; configuring the host cures it."""


@dataclass(frozen=True)
class Asset:
    """What the store says of a result.

    Attributes:
        url: where it can be had.
        size: its length in bytes.
        checksum: in hexadecimal digits; empty if the store gives none that we know.
    """

    url: str
    size: int
    checksum: str

    @classmethod
    def of(cls, results: Results) -> "Asset":
        """The asset of a result.

        Raises:
            SourceUnavailableError: if the answer names none.
        """
        try:
            checksum = str(results.asset.get("file:checksum") or "").lower()
            known = checksum if len(checksum) in _HASHES else ""
            # As it was told: the client's own ``location`` takes it apart with another parser.
            return cls(str(results.asset["href"]), results.content_length, known)
        except (AttributeError, KeyError, TypeError, ValueError, AssertionError) as error:
            raise SourceUnavailableError(
                "Expected the result of a job of the Climate Data Store to name a file and its "
                f"size, found {type(error).__name__} ({error}); run again later."
            ) from error

    def check(self, path: Path) -> None:
        """Compare a received file with what the store promised.

        Raises:
            SourceUnavailableError: if length or checksum differ.
        """
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            if size != self.size:
                raise SourceUnavailableError(
                    f"Expected {self.size} bytes from the Climate Data Store, found {size}: "
                    f"{describe(head)}"
                )
            if self.checksum:
                file.seek(0)
                found = hashlib.file_digest(file, _HASHES[len(self.checksum)]).hexdigest()
                if found != self.checksum:
                    raise SourceUnavailableError(
                        f"Expected a result with checksum {self.checksum}, found {found}: it was "
                        "damaged on its way"
                    )


def require_allowed(url: str, hosts: Sequence[str], api_url: str) -> None:
    """Refuse to fetch from anywhere but the configured hosts and that of the store itself.

    Plain http is only for a store on this machine, which only http can reach.

    Raises:
        ForbiddenError: naming the host.
    """
    api = httpx.URL(api_url)
    try:
        asked = httpx.URL(url)
    except (httpx.InvalidURL, ValueError, TypeError):
        found = "an address that cannot be read"
    else:
        found = f"{asked.scheme}://{asked.host}" + (f":{asked.port}" if asked.port else "")
        is_plain = _PLAIN_AUTHORITY.match(url) is not None
        is_here = api.scheme == "http" and is_safe(api_url)
        is_home = asked.host == api.host and (is_here or asked.port == api.port)
        is_known = any(fnmatch.fnmatchcase(asked.host, known) for known in hosts)
        is_secure = asked.scheme == "https" or is_here
        # httpx tells no port where it is that of the scheme.
        is_allowed = is_home or (is_known and asked.port is None)
        if is_plain and is_allowed and is_secure and is_safe(url):
            return
    raise ForbiddenError(
        f"Expected results at {', '.join(hosts)} over https, found {found}; nothing was fetched. "
        "If the store moved its results there, add it to source.hosts."
    )


def fetch_asset(
    asset: Asset,
    request: Request,
    target: Path,
    *,
    limits: Callable[[int], Limits],
) -> Times:
    """Bring the result of a job to ``target``; resumed, and checked before it counts.

    Args:
        asset: what the store says of it; its host must be allowed.
        request: what was asked.
        target: where it goes.
        limits: of the download, for the most bytes it may have.

    Returns:
        The asked times that it does not have (n,).

    Raises:
        SourceUnavailableError: if it cannot be had whole; what was received is kept.
        SourceDataError: if it is not what was asked.
        StorageError: if it cannot be written.
    """
    latitude, longitude = request.product.cells
    field_bytes = latitude.size * longitude.size * _BYTES_PER_CELL + _BYTES_PER_FIELD
    most = request.times.size * field_bytes + _BYTES_PER_FILE
    if asset.size > most:
        raise SourceDataError(
            f"Expected at most {most} bytes for {request}, found a result of {asset.size}; "
            "nothing was fetched."
        )
    absent: list[Times] = []

    def check(path: Path) -> None:
        asset.check(path)
        try:
            absent.append(absent_times(path, request))
        except SourceDataError as error:
            if asset.checksum:
                raise
            raise SourceUnavailableError(str(error)) from error

    download(
        asset.url, target, hosts=frozenset({host_of(asset.url)}), limits=limits(most), check=check
    )
    return absent[-1]


def absent_times(path: Path, request: Request) -> Times:
    """The asked times that a file does not have (n,), if all that it has was asked for.

    Raises:
        SourceDataError: if it is damaged, has other times, or lies on other cells.
    """
    with temporary_folder() as unpacked:
        parts = open_parts(path, Path(unpacked))
        for part in parts:
            _check_cells(part.grid, request)
        found = np.unique(np.concatenate([part.times for part in parts]))
    surplus = np.setdiff1d(found, request.times)
    if surplus.size:
        raise SourceDataError(
            f"Expected the times of {request}, found {surplus.size} others (first: "
            f"{format_time(surplus[0])}); the result is not used."
        )
    return np.setdiff1d(request.times, found)


def _check_cells(found: NativeGrid, request: Request) -> None:
    latitude, longitude = request.product.cells
    turned = found.longitude + 360.0 * np.round((longitude[0] - found.longitude[0]) / 360.0)
    is_same = all(
        got.size == asked.size
        and np.allclose(np.sort(got), np.sort(asked), atol=COORDINATE_TOLERANCE_DEG, rtol=0)
        for got, asked in ((found.latitude, latitude), (np.unwrap(turned, period=360), longitude))
    )
    if not is_same:
        north, west, south, east = request.product.area
        raise SourceDataError(
            f"Expected cells {north:g}..{south:g} N, {west:g}..{east:g} E as asked, found "
            f"{found.latitude.max():g}..{found.latitude.min():g} N, {found.longitude.min():g}.."
            f"{found.longitude.max():g} E ({found.latitude.size} x {found.longitude.size} cells); "
            "the result is not used."
        )
