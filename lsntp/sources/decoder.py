"""The process that opens foreign files: ``python -m lsntp.sources.decoder``.

It answers one request after the other on its standard input until that ends, each under
limits of its own. Started by :mod:`lsntp.sources.decoding`; nobody else imports it.
"""

import contextlib
import logging
import math
import os
import resource
import signal
import sys
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lsntp.errors import LsntpError, SourceDataError, SourceUnavailableError
from lsntp.grid import Grid
from lsntp.sources.channel import Arrays, Header, pack, unpack
from lsntp.sources.formats import FilePart, open_parts
from lsntp.sources.native import Window
from lsntp.sources.surface import read_surface

FILES_KEPT = 1000
"""Files whose headers are remembered; others are opened again."""

_MOST_REQUEST_BYTES = 2**30

_Key = tuple[str, str, int]
"""File, label and forecast step."""


class Decoder:
    """The files opened so far, and what is done with them."""

    def __init__(self) -> None:
        self._opened: OrderedDict[_Key, list[FilePart]] = OrderedDict()

    def open(self, request: Header) -> tuple[Header, Arrays]:
        """See :func:`lsntp.sources.formats.open_parts`."""
        parts = open_parts(
            Path(request["path"]),
            Path(request["unpack_into"]),
            request["label"],
            step_h=request["step_h"],
        )
        found: dict[tuple[str, str], list[FilePart]] = {}
        for part in parts:
            found.setdefault((str(part.path), part.label), []).append(part)
        descriptions, arrays = [], []
        for (name, member), siblings in found.items():
            self._keep((name, member, request["step_h"]), siblings)
            for index, part in enumerate(siblings):
                descriptions.append(
                    {"path": name, "label": member, "index": index, "stamp": part.file_stamp}
                )
                arrays += [part.grid.latitude, part.grid.longitude, part.times.view(np.int64)]
        return {"parts": descriptions}, arrays

    def read(self, request: Header, arrays: Arrays) -> tuple[Header, Arrays]:
        """See :meth:`lsntp.sources.parts.Part.read`."""
        positions, rows, columns, latitude, longitude = arrays
        path, label = request["path"], request["label"]
        key = (path, label, request["step_h"])
        parts = self._opened.get(key)
        if parts is None or list(parts[0].file_stamp) != request["stamp"]:
            parts = list(open_parts(Path(path), None, label, step_h=request["step_h"]))
        self._keep(key, parts)
        part = parts[min(request["index"], len(parts) - 1)]
        if list(part.file_stamp) != request["stamp"]:
            raise SourceUnavailableError(
                f"Expected {label} to stay as it was when it was opened, found it changed; wait "
                "until it is complete and run again."
            )
        window = Window(rows, columns, Grid(latitude, longitude))
        return {}, part.read(positions, window)

    def surface(self, request: Header) -> tuple[Header, Arrays]:
        """See :func:`lsntp.sources.surface.read_surface`."""
        fields = read_surface(Path(request["path"]), request["label"])
        arrays = [
            array
            for field in fields
            for array in (field.values, field.grid.latitude, field.grid.longitude)
        ]
        names = [{"kind": f.kind, "name": f.name, "units": f.units} for f in fields]
        return {"fields": names}, arrays

    def _keep(self, key: _Key, parts: Sequence[FilePart]) -> None:
        self._opened[key] = list(parts)
        self._opened.move_to_end(key)
        while len(self._opened) > FILES_KEPT:
            self._opened.popitem(last=False)

    def answer(self, request: Header, arrays: Arrays) -> tuple[Header, Arrays]:
        """The reply to a request; what is wrong with the file is a reply as well."""
        try:
            if request["do"] == "open":
                return self.open(request)
            if request["do"] == "surface":
                return self.surface(request)
            return self.read(request, arrays)
        except LsntpError as error:
            return {"error": type(error).__name__, "message": str(error)}, ()
        except MemoryError:
            return {"exceeds": "memory"}, ()
        except Exception as error:
            logging.getLogger(__name__).debug("decoding failed", exc_info=True)
            return {
                "error": SourceDataError.__name__,
                "message": f"Expected a file that can be decoded in {request['label']}, found one "
                f"that cannot ({type(error).__name__}: {error}); fetch it again.",
            }, ()


class _Records(logging.Handler):
    """What is logged while a request is answered, for the process that asked."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.taken.append((record.name, record.levelno, self.format(record)))


def limit(memory_bytes: int, computing_s: float) -> None:
    """Let this process end, or its allocations fail, beyond so much from now on."""
    _set_limit(resource.RLIMIT_CPU, math.ceil(time.process_time() + computing_s))
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        _set_limit(resource.RLIMIT_AS, pages * resource.getpagesize() + memory_bytes)


def limit_nothing() -> None:
    """Let the reply pass, whatever the request has used up."""
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU):
        _set_limit(kind, None)


def _set_limit(kind: int, value: int | None) -> None:
    """Within what the system lets this process have; None is all of that."""
    _, most = resource.getrlimit(kind)
    if value is None or (most != resource.RLIM_INFINITY and value > most):
        value = most
    resource.setrlimit(kind, (value, most))


def serve(incoming: BinaryIO, outgoing: BinaryIO) -> None:
    """Answer requests until there are no more, or one used up the memory it may have."""

    def read_into(buffer: memoryview) -> None:
        while buffer:
            if not (count := incoming.readinto(buffer)):  # type: ignore[attr-defined]
                raise EOFError
            buffer = buffer[count:]

    decoder, records = Decoder(), _Records()
    ours = logging.getLogger("lsntp")
    ours.addHandler(records)
    ours.propagate = False
    while True:
        try:
            request, arrays = unpack(read_into, _MOST_REQUEST_BYTES)
        except EOFError:
            return
        ours.setLevel(request["level"])
        limit(request["memory_bytes"], request["computing_s"])
        reply, fields = decoder.answer(request, arrays)
        limit_nothing()
        reply["log"], records.taken = records.taken, []
        for piece in pack(reply, fields):
            outgoing.write(piece)
        outgoing.flush()
        if "exceeds" in reply:
            return


def main() -> None:
    """Serve on standard input and output; what libraries print goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the asking process decides
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(BrokenPipeError):
        serve(incoming, outgoing)
    sys.stderr.flush()
    os._exit(0)  # the libraries' own farewells take longer than many files


if __name__ == "__main__":
    main()
