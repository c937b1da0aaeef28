"""Whether the Prefect server of a run is nobody's choice but one that the command started."""

import os

VARIABLE = "LSNTP_EMBEDDED_API_URL"
"""Where a command that starts a server says so, to its own tasks and to their processes."""


def is_embedded(api_url: str | None) -> bool:
    """Whether no server is chosen, or only one that serves this command.

    Args:
        api_url: Prefect's setting.
    """
    return not api_url or api_url == os.environ.get(VARIABLE)
