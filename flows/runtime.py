"""The Prefect settings of a run started from the command line."""

import errno
import logging
import os
import tempfile
from pathlib import Path

from flows import embedded
from lsntp.archives.staging import storage_errors
from lsntp.config import Domain
from lsntp.errors import LsntpError, StorageError
from lsntp.workspace import Workspace
from tasks.embedded import is_embedded

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    "OMP_WAIT_POLICY": "PASSIVE",
}
EMBEDDED_SERVER_TIMEOUT_S = "120"
CHOOSES_SERVER = ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILES_PATH")
DATABASE = "prefect.db"
DATABASE_ROOM_BYTES = 8 * 2**20
"""What the embedded server's SQLite needs to start (5 MiB with its journal) and run."""


def configure(*, debug: bool) -> None:
    """Set what must be set before Prefect or torch is imported; what the user set stays.

    Without ``debug`` Prefect keeps its log for the API and its own console silent: the command
    line prints one line per outcome, one per retry, one per warning and one per error.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault(
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", EMBEDDED_SERVER_TIMEOUT_S
    )
    if not debug:
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
        os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")
        console = logging.StreamHandler()
        console.setLevel(logging.WARNING)
        for name in ("tasks", "lsntp"):
            logging.getLogger(name).handlers = [console]


def use_private_server(root: Path) -> None:
    """Keep this run off any server of the user: an embedded one, its SQLite below ``root``.

    Raises:
        StorageError: if nothing can be written below ``root``.
    """
    home = root / "work" / "prefect"
    require_room(home)
    os.environ["PREFECT_HOME"] = str(home)
    os.environ["PREFECT_PROFILES_PATH"] = str(home / "profiles.toml")
    embedded.start()


def ensure_limits(domain: Domain) -> None:
    """Create the global limits that the domain's tasks hold.

    Who has not chosen a Prefect server or home gets an embedded one, its SQLite below the
    archive root.
    """
    if not has_chosen_server():
        use_private_server(Workspace.of(domain).machine)
    from flows import bootstrap

    bootstrap.ensure_limits(domain)


def require_room(home: Path) -> None:
    """Refuse a Prefect home in which the embedded server's database cannot be written.

    Its server would end with SQLite's words, after two minutes of trying.

    Raises:
        StorageError: if the folder or the database is not writable, or there is no room.
    """
    with storage_errors(str(home)):
        home.mkdir(parents=True, exist_ok=True)
        for file in home.glob(f"{DATABASE}*"):
            if not os.access(file, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(bytes(DATABASE_ROOM_BYTES))
            probe.flush()


def known_cause(error: BaseException) -> LsntpError | None:
    """The error of ours behind one of the scheduler's, which a full disk strikes as well."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, LsntpError):
            return link
        link = link.__cause__ or link.__context__
    home = os.environ.get("PREFECT_HOME")
    is_schedulers = type(error).__module__.partition(".")[0] in ("prefect", "httpx")
    if is_schedulers and home and is_embedded(os.environ.get("PREFECT_API_URL")):
        try:
            require_room(Path(home))
        except StorageError as refusal:
            return refusal
    return None


def has_chosen_server() -> bool:
    """Whether the user named a Prefect server, home or profile."""
    if any(name in os.environ for name in CHOOSES_SERVER):
        return True
    return (Path.home() / ".prefect" / "profiles.toml").exists()
