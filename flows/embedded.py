"""The embedded Prefect server: a process of its own, there as long as the command it serves.

Prefect starts such a server where none is chosen, but in the command's process group: what ends
the whole group (Ctrl-C, a service manager) ends the server first, and the command then tries for
minutes to tell it how the run ended. Here the server has a session of its own, and it ends when
its pipe from the command closes, whatever ended the command.
"""

import os
import signal
import subprocess
import sys
import threading
from typing import Any

import uvicorn
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import get_current_settings

MAX_STARTS = 3
"""Two commands that make one database at the same time need a second start."""


class EmbeddedServer(SubprocessASGIServer):
    """What Prefect takes for its embedded server from now on, once one was made."""

    _starts = 0

    def _run_uvicorn_command(self) -> subprocess.Popen[Any]:
        """Start the server; called again each time it ended before it answered.

        Raises:
            RuntimeError: at the fourth call.
        """
        if self._starts == MAX_STARTS:
            raise RuntimeError(
                f"its process ended with code {self.server_process.returncode} at each of "
                f"{MAX_STARTS} starts"
                if self.server_process
                else "its process ended"
            )
        self._starts += 1
        settings = get_current_settings().to_environment_variables(exclude_unset=True)
        embedded = {
            "PREFECT_UI_ENABLED": "0",
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT__SERVER_FINAL": "1",
        }
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", __file__, str(self.port)],
            env=os.environ | embedded | settings,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def stop(self) -> None:
        """End the server and wait for it."""
        process = self.server_process
        super().stop()
        if process is not None and process.stdin is not None:
            process.stdin.close()


def _serve(port: int) -> None:
    threading.Thread(target=_end_with_the_command, daemon=True).start()
    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        host="127.0.0.1",
        port=port,
        log_level="error",
        lifespan="on",
    )


def _end_with_the_command() -> None:
    """Wait for the other end of the pipe to close, which is never written to."""
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
