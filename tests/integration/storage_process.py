"""The stages of a pipeline in a process of their own, where the storage can be made to refuse.

Started in a mount namespace of its own, so that what it mounts ends with it and nobody else sees
it; or without any capability, so that permissions bind it even as root. Each line of standard
input is a call in JSON, ``[name, argument, ...]``; each line of standard output the answer,
``{}`` or ``{"error": class, "code": exit code, "message": text}``, with the number of ``writes``.
"""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from typing import Any

from lsntp.config import load_domain
from lsntp.errors import LsntpError
from lsntp.evaluation.scoring import evaluate
from lsntp.forecasting import forecast
from lsntp.ingest import ingest
from lsntp.report import write_report
from lsntp.times import parse_time
from lsntp.training import prepare, train

NOW = parse_time("2024-06-01")
STAGES: dict[str, Any] = {
    "ingest": lambda domain: ingest(domain, clock=lambda: NOW),
    "prepare": prepare,
    "train": train,
    "forecast": lambda domain: forecast(domain, period=domain.split.test.period),
    "evaluate": evaluate,
    "report": write_report,
}


def stage(name: str, domain: str, overrides: dict[str, Any], largest_file: int | None) -> None:
    """Run one stage; with ``largest_file`` the system refuses files of more bytes (EFBIG)."""
    resolved = load_domain(domain, overrides=overrides)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, before[1]))
    try:
        STAGES[name](resolved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def in_a_child(kill_at: int, name: str, domain: str, overrides: dict[str, Any]) -> None:
    """Run one stage in a child that is killed at one of its writes; 0: at none.

    Nothing else may have run in this process: a fork takes no thread along.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            writes.kill_at = kill_at
            stage(name, domain, overrides, None)
            os.write(writing, str(writes.count).encode())
        except BaseException as error:
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    is_killed = os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    if is_killed != (kill_at > 0) or not (is_killed or said.isdigit()):
        raise RuntimeError(f"the child was to be killed at write {kill_at}, and said: {said}")
    writes.count = int(said or 0)


class Writes:
    """Counts the writes of this process, by the audit events of Python, and ends it at one.

    A write is to make, open, rename or remove something, wherever it is. Killed at an opening, the
    process leaves the file as that opening does: empty, if it was to be written anew.

    Attributes:
        count: how many writes there were.
        kill_at: the number of the one that it is killed at; 0 for none.
    """

    EVENTS = frozenset(
        f"os.{change}" for change in ("link", "mkdir", "remove", "rename", "rmdir", "symlink")
    )

    def __init__(self) -> None:
        self.count = self.kill_at = 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        is_opening = (
            event == "open"
            and bool(arguments[2] & os.O_ACCMODE)
            and not isinstance(arguments[0], int)  # what is open already
        )
        if is_opening or event in self.EVENTS:
            self.count += 1
            if self.count == self.kill_at:
                if is_opening:
                    with contextlib.suppress(OSError):
                        os.open(arguments[0], arguments[2], 0o666)
                os.kill(os.getpid(), signal.SIGKILL)


writes = Writes()


def system(*command: str) -> None:
    """A command of the system, such as mount."""
    subprocess.run(command, check=True, capture_output=True)


CALLS: dict[str, Any] = {"stage": stage, "in_a_child": in_a_child, "system": system}


def main() -> None:
    """Answer calls until standard input ends."""
    sys.addaudithook(writes)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        answer: dict[str, Any] = {}
        writes.count = 0
        try:
            CALLS[name](*arguments)
        except LsntpError as error:
            answer = {"error": type(error).__name__, "code": error.exit_code, "message": str(error)}
        except Exception as error:
            answer = {"error": type(error).__name__, "code": 1, "message": str(error)}
        print(json.dumps(answer | {"writes": writes.count}), flush=True)


if __name__ == "__main__":
    main()
