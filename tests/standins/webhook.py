"""A receiver of webhooks over a real socket, and the ways in which one fails."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TRICKLE_S = 0.05


@dataclass
class Receiver:
    """What was posted, and how to answer the next posts: a status each, the last one for ever.

    Attributes:
        answers: statuses; ``"hang"``: no answer at all; ``"trickle"``: headers without end;
            ``"drop"``: the connection is closed without a word.
        location: where redirects point to.
        posts: path, headers and content of every post.
    """

    answers: list[int | str] = field(default_factory=lambda: [204])
    location: str = ""
    posts: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    url: str = ""
    is_over: threading.Event = field(default_factory=threading.Event)

    @property
    def contents(self) -> list[Any]:
        """The JSON of every post."""
        return [content for _, _, content in self.posts]

    def next_answer(self) -> int | str:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def receiving(path: str = "/hook") -> Iterator[Receiver]:
    """A receiver on loopback until the end of the block."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            receiver.posts.append((self.path, dict(self.headers), json.loads(body or "null")))
            answer = receiver.next_answer()
            if answer == "hang":
                receiver.is_over.wait(60)
            elif answer == "trickle":
                self._trickle()
            elif answer == "drop":
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self.send_response(int(answer), f"a reason that repeats {self.path}")
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def do_GET(self) -> None:  # as some clients follow a redirect
            self.do_POST()

        def _trickle(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not receiver.is_over.wait(TRICKLE_S):
                try:
                    self.wfile.write(b"X-More: 1\r\n")
                except OSError:
                    return

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}{path}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.is_over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def unused_address() -> str:
    """An address on loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/hook"
