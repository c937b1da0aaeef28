"""Ingests of a domain of source era5 in processes of their own, to be killed by the tests.

``ingest_process.py DOMAIN NOW START END`` reads numbers from standard input. For each it forks an
ingest, from a process that has its imports done but no threads, which dies by the put of so many
objects of the archive (0: never), and prints its process id. What became of it is printed when
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
from lsntp.times import Period


def _die_at(kill_at: int) -> None:
    numbers = itertools.count(1)
    put = LocalStore.set

    async def put_or_die(self: LocalStore, *args: Any) -> None:
        if next(numbers) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        await put(self, *args)

    LocalStore.set = put_or_die  # type: ignore[method-assign]


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
            _die_at(int(line))
            os._exit(_ingest(*arguments))
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        words = {0: "ended"} if os.WIFEXITED(status) else {}
        print(words.get(status, "killed" if os.WIFSIGNALED(status) else "failed"), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
