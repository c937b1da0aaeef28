"""The embedded Prefect server: a process of its own, there as long as the command it serves.

Prefect starts such a server where none is chosen, but the command then imports all of it too and
waits for it before it does anything else, and it is in the command's process group: what ends the
whole group (Ctrl-C, a service manager) ends the server first, and the command then tries for
minutes to tell it how the run ended. Here the server starts while the command still imports, has a
session of its own, and ends when its pipe from the command closes, whatever ended the command. To
Prefect it is a server that somebody chose, by ``PREFECT_API_URL``.
"""

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

from tasks.embedded import VARIABLE

MAX_STARTS = 3
"""Two commands that make one database at the same time need a second start."""
FAILED_TO_START = 3
"""The exit code of uvicorn's own command."""
STOP_S = 5.0
POLL_S = 0.05
HOST = "127.0.0.1"


class EmbeddedServer:
    """A server on a port of its own, bound from the first so that no one else can have it."""

    def __init__(self) -> None:
        """Start it, and return at once."""
        self._socket = socket.socket()
        self._socket.bind((HOST, 0))
        self._port = int(self._socket.getsockname()[1])
        self.url = f"http://{HOST}:{self._port}/api"
        self._starts = 0
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._starts += 1
        kept = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
        embedded = {
            "PREFECT_UI_ENABLED": "0",
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT__SERVER_FINAL": "1",
        }
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", __file__, str(self._socket.fileno())],
            env=kept | embedded,
            stdin=subprocess.PIPE,
            pass_fds=[self._socket.fileno()],
            start_new_session=True,
        )

    def wait_until_it_answers(self, timeout_s: float) -> None:
        """Return once it answers; start it again if it ends before.

        Raises:
            RuntimeError: if its last start failed, too, or ``timeout_s`` has passed.
        """
        deadline = time.monotonic() + timeout_s
        while not self._answers():
            if (code := self._process.poll()) is not None:
                if self._starts == MAX_STARTS:
                    raise RuntimeError(
                        f"its process ended with code {code} at each of {MAX_STARTS} starts"
                    )
                self._close_pipe()
                self._process = self._start()
            if time.monotonic() > deadline:
                raise RuntimeError(f"no answer within {timeout_s:g} s")
            time.sleep(POLL_S)
        self._socket.close()

    def _answers(self) -> bool:
        connection = HTTPConnection(HOST, self._port, timeout=STOP_S)
        try:
            connection.request("GET", "/api/health")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """End the server and wait for it."""
        self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close_pipe()

    def _close_pipe(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()


_started: list[EmbeddedServer] = []


def start() -> None:
    """Start a server for this process and choose it; the second time choose the one there is."""
    if not _started:
        _started.append(EmbeddedServer())
        atexit.register(_started[0].stop)
    os.environ["PREFECT_API_URL"] = os.environ[VARIABLE] = _started[0].url


def wait_until_it_answers() -> None:
    """Return once the server of this process, if it has one, answers.

    Raises:
        RuntimeError: if it does not.
    """
    for server in _started:
        server.wait_until_it_answers(
            float(os.environ["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"])
        )


def _serve(number: int) -> None:
    import uvicorn  # the command itself needs none

    threading.Thread(target=_end_with_the_command, daemon=True).start()
    server = uvicorn.Server(
        uvicorn.Config(
            "prefect.server.api.server:create_app", factory=True, log_level="error", lifespan="on"
        )
    )
    server.run(sockets=[socket.socket(fileno=number)])
    if not server.started:
        sys.exit(FAILED_TO_START)


def _end_with_the_command() -> None:
    """Wait for the other end of the pipe to close, which is never written to."""
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
