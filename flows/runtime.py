"""The Prefect settings of a run started from the command line."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lsntp.archives.staging import storage_errors
from lsntp.config import Domain
from lsntp.workspace import Workspace

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    "OMP_WAIT_POLICY": "PASSIVE",
}
EMBEDDED_SERVER_TIMEOUT_S = "120"
CHOOSES_SERVER = ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILES_PATH")


def configure(*, debug: bool) -> None:
    """Set what must be set before Prefect or torch is imported; what the user set stays.

    Without ``debug`` Prefect keeps its log for the API and its own console silent: the command
    line prints one line per outcome, one per retry and one per error.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault(
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", EMBEDDED_SERVER_TIMEOUT_S
    )
    if not debug:
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
        os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")
        logging.getLogger("tasks").handlers = [logging.StreamHandler()]


def use_private_server(root: Path) -> None:
    """Keep this run off any server of the user: an embedded one, its SQLite below ``root``.

    Raises:
        StorageError: if nothing can be written below ``root``.
    """
    home = root / "work" / "prefect"
    with storage_errors(str(home)):
        home.mkdir(parents=True, exist_ok=True)
    os.environ.pop("PREFECT_API_URL", None)
    os.environ["PREFECT_HOME"] = str(home)
    os.environ["PREFECT_PROFILES_PATH"] = str(home / "profiles.toml")


def ensure_limits(domain: Domain) -> None:
    """Create the global limits that the domain's tasks hold.

    Who has not chosen a Prefect server or home gets an embedded one, its SQLite below the
    archive root.
    """
    if not _has_chosen_server():
        use_private_server(Workspace.of(domain).root)
    from flows import bootstrap

    with _interrupts_held_back():
        bootstrap.ensure_limits(domain)


def _has_chosen_server() -> bool:
    if any(name in os.environ for name in CHOOSES_SERVER):
        return True
    return (Path.home() / ".prefect" / "profiles.toml").exists()


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """A process started meanwhile never sees Ctrl-C.

    The embedded server must outlive the interrupted flow, which reports its end to it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
