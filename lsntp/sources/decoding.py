"""Foreign files, opened and read in a process of their own under limits.

A crafted or damaged file can crash a decoder, hold it up for ever or make it ask for all
memory. Here that ends the decoder and becomes an error that names the file; the next file
gets a new decoder. One is kept for many files; it ends with the process that asks. It is a
bound on accidents and bombs, no jail: it may read and write what the user may.
"""

import atexit
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lsntp.errors import (
    DomainError,
    LsntpError,
    SourceDataError,
    SourceUnavailableError,
    StorageError,
)
from lsntp.grid import Fields
from lsntp.secrets import without_secrets
from lsntp.sources.canonical import NoTemperatureError, Statuses
from lsntp.sources.channel import Arrays, Header, pack, unpack
from lsntp.sources.limits import BLOCK_CELLS, GIB, Limits, limits_of_opening, limits_of_reading
from lsntp.sources.native import Ints, NativeGrid, Window
from lsntp.sources.parts import Part
from lsntp.sources.surface import SurfaceField
from lsntp.times import Times

COMMAND = ("-m", "lsntp.sources.decoder")
"""What Python runs as the decoder."""

_ERRORS: dict[str, type[LsntpError]] = {
    kind.__name__: kind
    for kind in (
        DomainError,
        NoTemperatureError,
        SourceDataError,
        SourceUnavailableError,
        StorageError,
    )
}
_MOST_HEADER_BYTES = 1 * GIB
_SENT_BY_OTHERS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
"""No file raises these: a person or a system short of memory does."""
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")
"""Every further thread reserves address space, which is what the limit on memory counts."""


@dataclass(frozen=True, eq=False)
class DecodedPart:
    """A part of a file that only the decoder opens; see :class:`lsntp.sources.parts.Part`.

    Attributes:
        path: the file, or the unpacked member of an archive.
        index: its place among the parts of the file.
        file_stamp: size and time of change when it was opened.
        step_h: of forecasts, hours from their initial time; 0 for analyses.
    """

    path: str
    label: str
    index: int
    grid: NativeGrid
    times: Times
    file_stamp: tuple[int, int]
    step_h: int

    def read(self, positions: Ints, window: Window) -> tuple[Fields, Statuses]:
        """See :meth:`lsntp.sources.parts.Part.read`."""
        fields = np.empty((len(positions), *window.grid.shape), np.float32)
        statuses = np.empty(len(positions), np.int8)
        step = max(1, BLOCK_CELLS // (window.rows.size * window.columns.size))
        for start in range(0, len(positions), step):
            block = slice(start, start + step)
            fields[block], statuses[block] = self._read_block(positions[block], window)
        return fields, statuses

    def _read_block(self, positions: Ints, window: Window) -> Arrays:
        cells = window.rows.size * window.columns.size
        grid_cells = self.grid.latitude.size * self.grid.longitude.size
        request = {
            "do": "read",
            "path": self.path,
            "label": self.label,
            "index": self.index,
            "stamp": self.file_stamp,
            "step_h": self.step_h,
        }
        grid = (window.grid.latitude, window.grid.longitude)
        _, arrays = _decoder.ask(
            request,
            (positions, window.rows, window.columns, *grid),
            limits_of_reading(self.file_stamp[0], len(positions), cells, grid_cells),
            most_bytes=len(positions) * (4 * cells + 1),
        )
        return arrays


def open_parts(
    path: Path, unpack_into: Path, *, label: str | None = None, step_h: int = 0
) -> Sequence[Part]:
    """The 2 m temperature analyses of one file or Zarr store, which this process never opens.

    Args:
        path: GRIB, netCDF, a ZIP of these, or a Zarr folder.
        unpack_into: an existing folder for the members of a ZIP; must outlive the parts.
        label: how messages call the file, by default its path.
        step_h: of forecasts in GRIB, hours from their initial time; 0 for analyses.

    Raises:
        SourceDataError: if it is none of these, damaged, holds no such analyses, ends the
            decoder or goes beyond its limits.
        SourceUnavailableError: if the decoder was stopped from outside.
    """
    # Names that are no UTF-8 could be neither printed nor stored.
    label = label or os.fsencode(path).decode("utf-8", "backslashreplace")
    try:
        size = path.stat().st_size
    except OSError:
        size = 0  # the decoder says why
    request = {
        "do": "open",
        "path": str(path.absolute()),
        "label": label,
        "unpack_into": str(unpack_into.absolute()),
        "step_h": step_h,
    }
    reply, arrays = _decoder.ask(
        request, (), limits_of_opening(size), most_bytes=_MOST_HEADER_BYTES
    )
    axes = zip(arrays[0::3], arrays[1::3], arrays[2::3], strict=True)
    return [
        DecodedPart(
            part["path"],
            part["label"],
            part["index"],
            NativeGrid(latitude, longitude),
            times.view("datetime64[ns]"),
            (part["stamp"][0], part["stamp"][1]),
            step_h,
        )
        for part, (latitude, longitude, times) in zip(reply["parts"], axes, strict=True)
    ]


def open_surface(path: Path) -> list[SurfaceField]:
    """Height or geopotential, and land, of a file that this process never opens.

    Raises:
        SourceDataError: if it is no GRIB, netCDF or Zarr, damaged, ends the decoder or goes
            beyond its limits.
        SourceUnavailableError: if the decoder was stopped from outside.
    """
    label = os.fsencode(path).decode("utf-8", "backslashreplace")
    request = {"do": "surface", "path": str(path.absolute()), "label": label}
    size = path.stat().st_size if path.is_file() else 0
    limits = limits_of_reading(size, 2, BLOCK_CELLS, BLOCK_CELLS)
    reply, arrays = _decoder.ask(request, (), limits, most_bytes=_MOST_HEADER_BYTES)
    axes = zip(arrays[0::3], arrays[1::3], arrays[2::3], strict=True)
    return [
        SurfaceField(**names, values=values, grid=NativeGrid(latitude, longitude), label=label)
        for names, (values, latitude, longitude) in zip(reply["fields"], axes, strict=True)
    ]


class _Decoder:
    """The decoder of this process, started at need; threads take turns."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(
        self, request: Header, arrays: Arrays, limits: Limits, *, most_bytes: int
    ) -> tuple[Header, list[npt.NDArray[Any]]]:
        """The reply to a request; its log records are logged here.

        Raises:
            LsntpError: what the decoder found wrong with the file, or how it ended.
        """
        label = request["label"]
        request = {
            **request,
            "memory_bytes": limits.memory_bytes,
            "computing_s": limits.computing_s,
            "level": logging.getLogger(__name__).getEffectiveLevel(),
        }
        with self._turn:
            process = self._started()
            try:
                reply, found = _exchange(process, request, arrays, limits, most_bytes)
            except (EOFError, BrokenPipeError) as error:
                raise self._ended(label, limits) from error
            except ValueError as error:
                self.stop()
                raise SourceDataError(
                    f"Expected an answer of the decoder about {label}, found nonsense ({error}); "
                    "fetch the file again."
                ) from error
            except TimeoutError as error:
                self.stop()
                raise _exceeded(label, limits, f"no end after {limits.waiting_s:.3g} s") from error
            except BaseException:
                self.stop()  # the reply would be taken for that to the next request
                raise
            if "exceeds" in reply:
                self.stop()
                raise _exceeded(label, limits, "one that takes more memory")
        for name, level, message in reply["log"]:
            logging.getLogger(name).log(level, "%s", message)
        if "error" in reply:
            raise _ERRORS.get(reply["error"], SourceDataError)(reply["message"])
        return reply, found

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self.stop()
        if self._process is None:
            paths = [folder for folder in sys.path if folder]
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", *COMMAND],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={
                    **without_secrets(os.environ),
                    **_ONE_THREAD,
                    "PYTHONPATH": os.pathsep.join(paths),
                },
            )
        return self._process

    def _ended(self, label: str, limits: Limits) -> LsntpError:
        """What to say of a decoder that ended before it answered."""
        code = self.stop(patience_s=5.0)
        if code == -signal.SIGXCPU:
            return _exceeded(label, limits, "one that takes more computing time")
        if code >= 0:
            return SourceUnavailableError(
                f"Expected the decoder to answer about {label}, found that it ended with exit "
                f"code {code}; what it printed says why."
            )
        name = signal.Signals(-code).name
        if -code in _SENT_BY_OTHERS:
            return SourceUnavailableError(
                f"Expected the decoder to finish {label}, found it stopped from outside ({name}), "
                "as a system short of memory does; run again."
            )
        return SourceDataError(
            f"Expected a file that can be decoded in {label}, found one that crashes the decoder "
            f"({name}); fetch it again, and do not use it if that does not help."
        )

    def stop(self, *, patience_s: float = 0.0) -> int:
        """End the decoder, at once if it has not ended by itself; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        _close(process)
        try:
            return process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def abandon(self) -> None:
        """Let go of a decoder that is the child of another process."""
        if self._process is not None:
            _close(self._process)
            self._process.returncode = 0  # not ours to wait for


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _exchange(
    process: subprocess.Popen[bytes],
    request: Header,
    arrays: Arrays,
    limits: Limits,
    most_bytes: int,
) -> tuple[Header, list[npt.NDArray[Any]]]:
    deadline = time.monotonic() + limits.waiting_s
    if process.stdin is None or process.stdout is None:
        raise EOFError
    requests, replies = process.stdin, process.stdout.fileno()
    for piece in pack(request, arrays):
        view = memoryview(piece)
        while view:
            view = view[requests.write(view) :]
    ready = select.poll()
    ready.register(replies, select.POLLIN)

    def read_into(buffer: memoryview) -> None:
        while buffer:
            if not ready.poll(max(0.0, deadline - time.monotonic()) * 1e3):
                raise TimeoutError
            if not (count := os.readv(replies, [buffer])):
                raise EOFError
            buffer = buffer[count:]

    return unpack(read_into, most_bytes)


def _exceeded(label: str, limits: Limits, found: str) -> SourceDataError:
    return SourceDataError(
        f"Expected a file that decodes within {limits} in {label}, found {found}; fetch it again, "
        "and if it is sound, cut it into smaller files."
    )


def _forget() -> None:
    """In a forked process: leave the decoder, and the turn of a thread, to the other one."""
    global _decoder
    _decoder.abandon()
    _decoder = _Decoder()


_decoder = _Decoder()
atexit.register(lambda: _decoder.stop(patience_s=5.0))
os.register_at_fork(after_in_child=_forget)
