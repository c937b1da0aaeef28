"""Repairs of a domain in processes of their own, to be killed by the tests.

``repair_process.py FOLDER`` reads numbers from standard input. For each it forks a repair of the
domain in FOLDER, from a process that has its imports done but no threads, which dies before it
changes so many objects. What became of it is printed: ``killed`` or ``ended``.
"""

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
from zarr.storage import LocalStore

from lsntp.archives import verification
from lsntp.config import load_domain
from lsntp.repair import repair

NOW = np.datetime64("2019-05-01T12:00", "ns")


def _die_at(kill_at: int) -> None:
    """Die by the put or delete number ``kill_at``."""
    numbers = itertools.count(1)

    def mortal(change: Any) -> Any:
        async def change_or_die(self: LocalStore, *args: Any) -> None:
            if next(numbers) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            await change(self, *args)

        return change_or_die

    LocalStore.set = mortal(LocalStore.set)  # type: ignore[method-assign]
    LocalStore.delete = mortal(LocalStore.delete)  # type: ignore[method-assign]


def main(folder: Path) -> None:
    verification.PAUSE_S = 0.01  # type: ignore[misc]
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _die_at(int(line))
            repair(load_domain(folder / "tiny.yaml"), clock=lambda: NOW)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print("killed" if os.WIFSIGNALED(status) else "ended", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
