"""GRIB edition 1 and 2: 2 m temperature analyses, message by message."""

import ctypes
import datetime as dt
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
import numpy.typing as npt
from gribapi import bindings  # type: ignore[import-untyped]

from lsntp.errors import SourceDataError, SourceUnavailableError
from lsntp.grid import Fields
from lsntp.names import Status
from lsntp.sources.canonical import (
    ENSEMBLE_TYPES,
    MONTHLY_STREAMS,
    T2M_PARAM_ID,
    NoTemperatureError,
    Statuses,
    status_of_expver,
    to_float32,
)
from lsntp.sources.framing import Frame, damaged, frame_messages
from lsntp.sources.native import MAX_CELLS, Ints, NativeGrid, Window
from lsntp.sources.parts import refuse_monthly, stamp
from lsntp.sources.simple_packing import find_plain_values
from lsntp.times import Times, hours

logger = logging.getLogger(__name__)

_GRID_TYPES = ("regular_ll", "regular_gg")
_UNUSUAL_SCANNING = ("alternativeRowScanning", "jPointsAreConsecutive")
_CORNERS = tuple(
    f"{axis}Of{end}GridPointInDegrees"
    for axis in ("latitude", "longitude")
    for end in ("First", "Last")
)
_HEIGHT_ABOVE_GROUND = 103
_ANALYSIS_TEMPLATES = (0, 1)
_MISSING = 1e30
_NAMES_SHOWN = 8


def _log_quietly(_context: int | None, _level: int, message: bytes) -> None:
    """The decoder's own words, for whoever debugs; its faults reach the caller as errors."""
    logger.debug("ecCodes: %s", message.decode("utf-8", "replace").strip())


_LOG_PROCEDURE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)(
    _log_quietly
)


def _quieten_decoder() -> None:
    library = ctypes.CDLL(bindings.library_path)
    library.grib_context_set_logging_proc.restype = None
    library.grib_context_set_logging_proc(None, _LOG_PROCEDURE)


_quieten_decoder()


@dataclass(frozen=True)
class Message:
    """Where one analysis of 2 m temperature lies in its file."""

    offset: int
    length: int
    time: np.datetime64
    status: Status


@dataclass(frozen=True, eq=False)
class GribPart:
    """The messages of one file that share a grid; see :class:`~lsntp.sources.parts.Part`."""

    path: Path
    label: str
    grid: NativeGrid
    messages: tuple[Message, ...]
    file_stamp: tuple[int, int]

    @cached_property
    def times(self) -> Times:
        """Valid times (n,) in file order."""
        return np.array([message.time for message in self.messages], "datetime64[ns]")

    def read(self, positions: Ints, window: Window) -> tuple[Fields, Statuses]:
        """See :meth:`lsntp.sources.parts.Part.read`.

        Plainly packed values are unpacked here once the first of them agree with the decoder's,
        bit for bit.
        """
        messages = [self.messages[position] for position in positions]
        fields = np.empty((len(messages), *window.grid.shape), np.float32)
        cells = np.ix_(window.rows, window.columns)
        shape = (self.grid.latitude.size, self.grid.longitude.size)
        with self.path.open("rb") as file:
            if stamp(self.path) != self.file_stamp:
                raise SourceUnavailableError(
                    f"Expected {self.label} to stay as it was when it was opened, found it "
                    "changed; wait until it is complete and run again."
                )
            is_proven = False
            for field, message in zip(fields, messages, strict=True):
                file.seek(message.offset)
                content = file.read(message.length)
                plain = find_plain_values(content, shape)
                if plain is not None and is_proven:
                    field[:] = to_float32(plain.decode(cells))
                    continue
                values = _decode(content, shape, self.label)
                is_proven = plain is not None and np.array_equal(plain.decode(), values)
                field[:] = to_float32(values[cells])
        return fields, np.array([message.status for message in messages], np.int8)


@dataclass(frozen=True)
class _Other:
    """What a message is that is not the wanted field of 2 m temperature."""

    is_t2m: bool
    what: str


def open_grib(path: Path, label: str, *, step_h: int = 0) -> list[GribPart]:
    """The 2 m temperature fields of a GRIB file, one part per grid; reads headers only.

    Args:
        path: the file.
        label: how messages call it.
        step_h: hours from the initial time: 0 for analyses, else forecasts so far ahead.

    Raises:
        NoTemperatureError: if the file holds no 2 m temperature.
        SourceDataError: if it is damaged, or holds it only as forecasts, means or ensemble
            statistics.
    """
    found: dict[bytes, list[Message]] = defaultdict(list)
    grids: dict[bytes, NativeGrid] = {}
    kinds: dict[bytes, Status | _Other] = {}
    left_out: Counter[_Other] = Counter()
    file_stamp = stamp(path)
    with path.open("rb") as file:
        for frame in frame_messages(path, label):
            if frame.kind not in kinds:
                file.seek(frame.offset)
                with _open_message(file.read(frame.length), label) as message:
                    kinds[frame.kind] = kind = _classify(message, label, step_h)
                    if isinstance(kind, Status) and frame.grid_section not in grids:
                        grids[frame.grid_section] = _native_grid(message, label)
            kind = kinds[frame.kind]
            if isinstance(kind, _Other):
                left_out[kind] += 1
                continue
            time = _reference_time(frame, label) + hours(step_h)
            found[frame.grid_section].append(Message(frame.offset, frame.length, time, kind))
    _check_found(bool(found), left_out, label, step_h)
    parts = [GribPart(path, label, grids[key], tuple(found[key]), file_stamp) for key in found]
    refuse_monthly(np.concatenate([part.times for part in parts]), label)
    return parts


def _check_found(has_found: bool, left_out: Mapping[_Other, int], label: str, step_h: int) -> None:
    refused = {other.what: count for other, count in left_out.items() if other.is_t2m}
    others = [other.what for other in left_out if not other.is_t2m]
    reasons = "; ".join(f"{count} of {reason}" for reason, count in refused.items())
    if has_found and refused:
        logger.warning("%s: left out messages of 2 m temperature: %s", label, reasons)
    elif refused:
        wanted = f"forecasts {step_h} h ahead" if step_h else "analyses"
        remedy = "" if step_h else "; use files of analyses (step 0)"
        raise SourceDataError(
            f"Expected {wanted} of 2 m temperature in {label}, found only {reasons}{remedy}."
        )
    elif not has_found:
        # The nearest misses first: a file of the whole atmosphere holds hundreds of fields.
        names = sorted(others, key=lambda name: "temperature" not in name.lower())
        more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
        raise NoTemperatureError(
            f"Expected a message of 2 m temperature (parameter {T2M_PARAM_ID}) in {label}, found: "
            f"{', '.join(names[:_NAMES_SHOWN]) or 'none'}{more}; point source.paths at files that "
            "hold it."
        )


@contextmanager
def _open_message(content: bytes, label: str) -> Iterator[int]:
    """A decoder handle on one message."""
    handle = None
    try:
        handle = eccodes.codes_new_from_message(content)
        if handle is None:
            raise damaged(label, "fewer messages than it is long enough for")
        yield handle
    except eccodes.MemoryAllocationError as error:
        raise MemoryError(str(error)) from error
    except eccodes.CodesInternalError as error:
        raise damaged(label, f"a message that cannot be decoded ({error})") from error
    finally:
        if handle is not None:
            eccodes.codes_release(handle)


def _get(message: int, key: str, kind: type | None = None) -> Any:
    """A header value, or None where the edition or centre does not have it."""
    try:
        return eccodes.codes_get(message, key, kind)
    except eccodes.KeyValueNotFoundError:
        return None


def _describe(message: int) -> str:
    """``aptmp (Apparent temperature, heightAboveGround 2)``."""
    short, name, kind, level = (
        _get(message, key, str) for key in ("shortName", "name", "typeOfLevel", "level")
    )
    return f"{short} ({name}, {kind} {level})"


def _classify(message: int, label: str, step_h: int) -> Status | _Other:
    """The status of the wanted field of 2 m temperature, or what a message is instead."""
    if not _is_t2m(message):
        return _Other(is_t2m=False, what=_describe(message))
    if reason := _why_refused(message, step_h):
        return _Other(is_t2m=True, what=reason)
    return _status(message, label)


def _is_t2m(message: int) -> bool:
    parameter = _get(message, "paramId", int)
    if parameter:
        return bool(parameter == T2M_PARAM_ID)
    found = tuple(
        _get(message, key, int)
        for key in (
            "discipline",
            "parameterCategory",
            "parameterNumber",
            "typeOfFirstFixedSurface",
            "level",
        )
    )
    return found == (0, 0, 0, _HEIGHT_ABOVE_GROUND, 2)


def _why_refused(message: int, step_h: int) -> str | None:
    """Why a field of 2 m temperature is not the wanted one, or None if it is."""
    stream, kind = _get(message, "stream", str), _get(message, "type", str)
    if stream in MONTHLY_STREAMS:
        return f"monthly means (stream {stream})"
    if (derived := _get(message, "derivedForecast", int)) is not None:
        return f"an ensemble statistic such as mean or spread (derivedForecast {derived})"
    if kind in ENSEMBLE_TYPES or _get(message, "number", int):
        return f"an ensemble member or statistic (type {kind})"
    template = _get(message, "productDefinitionTemplateNumber", int)
    if template not in (None, *_ANALYSIS_TEMPLATES):
        return f"a processed field (product definition template {template})"
    if (step_type := _get(message, "stepType", str)) != "instant":
        return f"a field over a time range (stepType {step_type})"
    step = _get(message, "stepRange", str) or "0"
    if step == str(step_h) or (step_h == 0 and step in ("0m", "0s")):
        return None
    return f"a forecast (step {step})" if step not in ("0", "0m", "0s") else "an analysis (step 0)"


def _reference_time(frame: Frame, label: str) -> np.datetime64:
    """The time of a message, from plain octets: the decoder prints of bad clocks."""
    year, month, day, hour, minute = frame.date
    try:
        return np.datetime64(dt.datetime(year, month, day, hour, minute), "ns")
    except ValueError as error:
        found = f"{year}-{month}-{day} {hour}:{minute}"
        raise damaged(label, f"a message of {found}, which is no time") from error


def _status(message: int, label: str) -> Status:
    expver = _get(message, "expver", str)
    return Status.FINAL if expver is None else status_of_expver(expver, label)


def _native_grid(message: int, label: str) -> NativeGrid:
    """The axes of a message, in the order in which its values are stored."""
    grid_type = _get(message, "gridType", str)
    if grid_type not in _GRID_TYPES:
        raise SourceDataError(
            f"Expected a regular latitude/longitude or Gaussian grid in {label}, found "
            f"{grid_type}; regrid the file first."
        )
    rows, columns = _get(message, "Nj", int), _get(message, "Ni", int)
    count = _get(message, "numberOfDataPoints", int)
    if not 0 < rows * columns == count <= MAX_CELLS:
        raise damaged(label, f"a grid of {rows} x {columns} cells that does not fit its data")
    if any(_get(message, key, int) for key in _UNUSUAL_SCANNING):
        raise SourceDataError(
            f"Expected values stored row by row in {label}, found another scanning order; "
            "rewrite the file, for instance with cdo copy."
        )
    if grid_type == "regular_gg":
        latitude, longitude = (
            eccodes.codes_get_array(message, axis).reshape(rows, columns)
            for axis in ("latitudes", "longitudes")
        )
        grid = NativeGrid(latitude[:, 0].copy(), longitude[0].copy())
    else:
        north, south, west, east = (_get(message, key, float) for key in _CORNERS)
        if _get(message, "iScansNegatively", int):
            east -= 360.0 * (east > west)
        else:
            east += 360.0 * (east < west)
        grid = NativeGrid(np.linspace(north, south, rows), np.linspace(west, east, columns))
    grid.check(label)
    return grid


def _decode(content: bytes, shape: tuple[int, int], label: str) -> npt.NDArray[np.float64]:
    """The values of one message in kelvin (rows, columns) as stored; NaN where masked."""
    with _open_message(content, label) as message:
        eccodes.codes_set(message, "missingValue", _MISSING)
        size = eccodes.codes_get_size(message, "values")
        if size != shape[0] * shape[1]:
            raise damaged(label, f"{size} values for {shape[0]} x {shape[1]} cells")
        values = eccodes.codes_get_values(message)
        if _get(message, "bitmapPresent", int):
            values[values == _MISSING] = np.nan
    decoded: npt.NDArray[np.float64] = values.reshape(shape)
    return decoded
