"""Promotions in processes of their own, to be killed or raced by the tests.

    python champion_process.py YAML ROLE VERSION

``promote`` forces VERSION, ``offer`` asks the gate. ``die-writing`` is killed in the middle of
writing the new champion.json, ``die-renaming`` before it is renamed, ``die-renamed`` right after.
"""

import os
import signal
import sys
from pathlib import Path

from lsntp import durable
from lsntp.config import load_domain
from lsntp.training.champion import promote
from lsntp.training.gate import offer


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def half(path: Path, content: bytes) -> None:
    path.write_bytes(content[: len(content) // 2])
    die()


def main() -> None:
    file, role, version = sys.argv[1:]
    if role == "die-writing":
        durable.write_through = half  # type: ignore[assignment]
    if role == "die-renaming":
        Path.replace = die  # type: ignore[assignment, method-assign]
    if role == "die-renamed":
        durable.flush = die
    print("ready", flush=True)
    sys.stdin.readline()
    if role == "offer":
        offer(load_domain(file), [version])
    else:
        promote(load_domain(file), version, by=str(os.getpid()), reason=role)


if __name__ == "__main__":
    main()
