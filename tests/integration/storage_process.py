"""The stages of a pipeline in a process of their own, where the storage can be made to refuse.

Started in a mount namespace of its own, so that what it mounts ends with it and nobody else sees
it; or without any capability, so that permissions bind it even as root. Each line of standard
input is a call in JSON, ``[name, argument, ...]``; each line of standard output the answer,
``{}`` or ``{"error": class, "code": exit code, "message": text}``, with the number of ``writes``.
"""

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


def killed(number: int, name: str, domain: str, overrides: dict[str, Any]) -> None:
    """Run one stage in a child that dies right before one of its writes.

    Nothing else may have run in this process: a fork takes no thread along.
    """
    child = os.fork()
    if child == 0:
        try:
            writes.kill_at = number
            stage(name, domain, overrides, None)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WTERMSIG(status) == signal.SIGKILL, f"the stage came to no write {number}"


class Writes:
    """Counts what this process changes below archive roots, by the audit events of Python.

    Attributes:
        count: how often it made, opened to write, renamed or removed something.
        kill_at: the number of the change that it does not live to make; 0 for none.
    """

    EVENTS = frozenset(
        f"os.{change}" for change in ("link", "mkdir", "remove", "rename", "rmdir", "symlink")
    )

    def __init__(self) -> None:
        self.count = self.kill_at = 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in self.EVENTS or (event == "open" and arguments[2] & os.O_ACCMODE):
            if "/root/" not in str(arguments[0]):
                return
            self.count += 1
            if self.count == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


writes = Writes()


def system(*command: str) -> None:
    """A command of the system, such as mount."""
    subprocess.run(command, check=True, capture_output=True)


CALLS: dict[str, Any] = {"stage": stage, "killed": killed, "system": system}


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
