"""A writer in a bucket, in a process of its own, to be killed while it writes.

``serve PATH`` forks one writer per line of standard input, from a process that has its imports
done but no threads. The child says its process id, waits for ``go``, and publishes.
"""

import os
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import s3fs  # noqa: F401  (what every child would import)

from lsntp.archives.analysis import AnalysisArchive
from lsntp.places import place_of

LAB = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("archive_process.py"))))


def _serve(url: str) -> None:
    frames = LAB.disputed_frames()
    for line in sys.stdin:
        if line == "write\n":
            child = os.fork()
            if child == 0:
                print(os.getpid(), flush=True)
                sys.stdin.readline()
                AnalysisArchive.open(place_of(url)).publish(frames, now=LAB.NOW)
                print("published", flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            print("ended", flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1])
