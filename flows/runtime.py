"""The Prefect settings of a run started from the command line."""

import os
from pathlib import Path

from lsntp.config import Domain

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    "OMP_WAIT_POLICY": "PASSIVE",
}
EMBEDDED_SERVER_TIMEOUT_S = "120"


def configure(*, debug: bool) -> None:
    """Set what must be set before Prefect or torch is imported; what the user set stays.

    Without ``debug`` Prefect keeps its log for the API and its own console silent: the command
    line prints one line per outcome and one per error.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault(
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", EMBEDDED_SERVER_TIMEOUT_S
    )
    if not debug:
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
        os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")


def use_private_server(root: Path) -> None:
    """Keep this run off any server of the user: an embedded one, its SQLite below ``root``."""
    os.environ.pop("PREFECT_API_URL", None)
    home = root / "work" / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    os.environ["PREFECT_HOME"] = str(home)
    os.environ["PREFECT_PROFILES_PATH"] = str(home / "profiles.toml")


def ensure_limits(domain: Domain) -> None:
    """Create the global limits that the domain's tasks hold.

    With no ``PREFECT_API_URL`` configured this starts an embedded server for the process.
    """
    from flows import bootstrap

    bootstrap.ensure_limits(domain)
