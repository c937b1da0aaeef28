"""A writer in a bucket, in a process of its own, to be killed while it writes.

It forks one writer per line ``write`` of standard input, from a process that has its imports done
but no threads. The child says its process id, waits for a line, and publishes: ``go``, or
``kill N`` or ``stop N``, which sends itself that signal in place of its N-th put, or
``kill N done``, after it.
"""

import itertools
import os
import runpy
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import s3fs  # noqa: F401  (what every child would import)

from lsntp import object_store
from lsntp.archives.analysis import AnalysisArchive
from lsntp.places import place_of

LAB = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("archive_process.py"))))


def _prepare_for(what: str, number: str = "0", done: str = "") -> None:
    """Arrange the signal that is asked for."""
    numbers, put = itertools.count(1), object_store.put
    signals = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "go": None}

    async def put_or_fall(*arguments: Any, **options: Any) -> str:
        is_meant = next(numbers) == int(number)
        if is_meant and not done:
            os.kill(os.getpid(), signals[what])
        etag = await put(*arguments, **options)
        if is_meant and done:
            os.kill(os.getpid(), signals[what])
        return etag

    object_store.put = put_or_fall


def _serve(url: str) -> None:
    frames = LAB.disputed_frames()
    for line in sys.stdin:
        if line == "write\n":
            child = os.fork()
            if child == 0:
                print(os.getpid(), flush=True)
                _prepare_for(*sys.stdin.readline().split())
                AnalysisArchive.open(place_of(url)).publish(frames, now=LAB.NOW)
                print("published", flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            print("ended", flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1])
