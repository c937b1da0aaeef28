"""Ingests of a domain of source era5 in processes of their own, to be killed by the tests.

``ingest_process.py DOMAIN NOW START END`` reads numbers from standard input. For each it forks an
ingest, from a process that has its imports done but no threads, which dies by the put of so many
objects of the archive (0: never), and prints its process id. A folder behind the number holds its
decoder up, which says there that it was asked for fields. What became of it is printed when
it is over: ``killed``, ``ended`` or ``failed``.
"""

import itertools
import os
import signal
import sys
import traceback
from typing import Any

import numpy as np
from zarr.storage import LocalStore

import lsntp.sources.era5  # noqa: F401 - before the fork
from lsntp.config import load_domain
from lsntp.ingest import ingest
from lsntp.sources import decoding
from lsntp.times import Period

HELD_UP = """
import os, pathlib, time, lsntp.sources.decoder as decoder

honest, asking = decoder.unpack, os.getppid()

def held_up(*arguments):
    request, arrays = honest(*arguments)
    if request["do"] == "read":
        pathlib.Path({folder!r}, "decoding").touch()
        while os.getppid() == asking:
            time.sleep(0.05)
    return request, arrays

decoder.unpack = held_up
decoder.main()
"""


def _die_at(kill_at: int) -> None:
    numbers = itertools.count(1)
    put = LocalStore.set

    async def put_or_die(self: LocalStore, *args: Any) -> None:
        if next(numbers) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        await put(self, *args)

    LocalStore.set = put_or_die  # type: ignore[method-assign]


def _decode_at(folder: str) -> None:
    """Have the decoder say in ``folder`` that it was asked for fields, and hold it up there."""
    decoding.COMMAND = ("-c", HELD_UP.format(folder=folder))  # type: ignore[assignment]


def _ingest(path: str, now: str, start: str, end: str) -> int:
    try:
        ingest(
            load_domain(path),
            period=Period.parse(start, end),
            clock=lambda: np.datetime64(now, "ns"),
        )
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def main(*arguments: str) -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            kill_at, *cue = line.split()
            _die_at(int(kill_at))
            if cue:
                _decode_at(*cue)
            os._exit(_ingest(*arguments))
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        words = {0: "ended"} if os.WIFEXITED(status) else {}
        print(words.get(status, "killed" if os.WIFSIGNALED(status) else "failed"), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
