"""Canonical frames: fields with their status and digest, and which of two equal times wins."""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from lsntp.grid import Fields, Grid
from lsntp.names import (
    DIGEST_BYTE,
    DIGEST_BYTES,
    FIELD_DIMS,
    KELVIN,
    LATITUDE,
    LONGITUDE,
    SOURCE_DIGEST,
    STATUS,
    T2M,
    T2M_STANDARD_NAME,
    TIME,
    Status,
)
from lsntp.sources.canonical import Statuses
from lsntp.times import Times, format_time


def build_frames(
    values: Fields,
    times: Times,
    statuses: Statuses,
    grid: Grid,
    *,
    source: str,
    is_synthetic: bool,
    files: Sequence[str] = (),
) -> xr.Dataset:
    """Frames in the form every source returns; see :class:`lsntp.sources.base.Source`.

    Args:
        values: kelvin (time, latitude, longitude), float32.
        times: valid times (time,).
        statuses: :class:`~lsntp.names.Status` of each frame (time,).
        grid: the cells of ``values``.
        source: the name of the source.
        is_synthetic: whether the fields were generated.
        files: names of the files they come from.
    """
    attrs = {"source": source, "synthetic": str(is_synthetic).lower(), "files": ", ".join(files)}
    t2m_attrs = {"units": KELVIN, "standard_name": T2M_STANDARD_NAME}
    return xr.Dataset(
        {
            T2M: (FIELD_DIMS, values, t2m_attrs),
            STATUS: ((TIME,), statuses.astype(np.int8)),
            SOURCE_DIGEST: ((TIME, DIGEST_BYTE), frame_digests(values, times, grid)),
        },
        coords={
            TIME: times.astype("datetime64[ns]"),
            LATITUDE: (LATITUDE, grid.latitude, {"units": "degrees_north"}),
            LONGITUDE: (LONGITUDE, grid.longitude, {"units": "degrees_east"}),
        },
        attrs=attrs,
    )


def frame_digests(values: Fields, times: Times, grid: Grid) -> npt.NDArray[np.uint8]:
    """SHA-256 (time, 32) of each frame's little-endian float32 bytes, its cells and its time.

    It depends on the field alone, not on how files or requests were cut.

    Args:
        values: kelvin (n, H, W).
        times: (n,), UTC.
        grid: the cells (H, W).
    """
    digests = np.empty((len(times), DIGEST_BYTES), np.uint8)
    cells = bytes.fromhex(grid.digest)
    for index, (field, time) in enumerate(zip(values, times, strict=True)):
        content = hashlib.sha256(np.ascontiguousarray(field, "<f4").tobytes())
        content.update(cells)
        content.update(format_time(time).encode("ascii"))
        digests[index] = np.frombuffer(content.digest(), np.uint8)
    return digests


def settle_repeats(frames: xr.Dataset) -> xr.Dataset:
    """``frames`` (``t2m(time, latitude, longitude)``) without repeats that say nothing new.

    A final frame makes preliminary ones of its time void; of identical frames the
    first stays. Different frames of equal rank all stay: quality decides on them.
    """
    times = frames[TIME].values
    if np.unique(times).size == times.size:
        return frames
    is_final = frames[STATUS].values == Status.FINAL
    is_void = ~is_final & np.isin(times, times[is_final])
    seen: set[bytes] = set()
    for index, digest in enumerate(frames[SOURCE_DIGEST].values):
        if not is_void[index]:
            is_void[index] = digest.tobytes() in seen
            seen.add(digest.tobytes())
    return frames.isel({TIME: np.flatnonzero(~is_void)})
