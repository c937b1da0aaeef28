"""The far side of an archive of yearly files: an HTTP server that can fail on cue.

It knows GET and HEAD, ``ETag`` and ``Last-Modified``, ``If-None-Match``, ``If-Modified-Since``,
``Range`` with ``If-Range``, 206, 304, 404 and 416, as RFC 9110 has them. A fault applies to one
request; requests without one are served faithfully.
"""

import hashlib
import re
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_RANGE = re.compile(r"bytes=(\d+)-")
_BLOCK = 65536


@dataclass(frozen=True)
class Status:
    """Answer with a status and no file."""

    code: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """Close the connection after some bytes of the body."""

    after: int
    with_length: bool = True


@dataclass(frozen=True)
class Stall:
    """Fall silent after some bytes of the body, until the host is told to go on or closes."""

    after: int


@dataclass(frozen=True)
class Page:
    """Answer 200 with a page of HTML."""

    text: str = "<!DOCTYPE html><html><body>Down for maintenance</body></html>"


@dataclass(frozen=True)
class Flip:
    """Serve the file with one byte changed: the length stays right."""

    at: int


Fault = Status | Cut | Stall | Page | Flip


@dataclass(frozen=True)
class Request:
    """One that was answered."""

    path: str
    headers: dict[str, str]
    status: int


class FileHost:
    """Files by path, and what becomes of the next requests for them.

    Attributes:
        url: the root, on the loopback.
        requests: what was asked for, in order.
        stalled: set as soon as a request is stalled.
        go_on: set it to let a stalled request go on.
    """

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, str, str]] = {}
        self._faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._lock = threading.Lock()
        self.requests: list[Request] = []
        self.stalled = threading.Event()
        self.go_on = threading.Event()
        self.names_etags = True
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def put(self, path: str, content: bytes) -> None:
        """Serve another version of a file from now on."""
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        with self._lock:
            moment = 1_400_000_000 + 60 * len(self.requests) + len(self._files)
            self._files[path] = (content, etag, formatdate(moment, usegmt=True))

    def remove(self, path: str) -> None:
        """Serve a file no more."""
        with self._lock:
            del self._files[path]

    def fail(self, path: str, *faults: Fault) -> None:
        """What becomes of the next requests for a path, one after the other."""
        with self._lock:
            self._faults[path].extend(faults)

    def asked(self, path: str) -> list[Request]:
        """The requests for a path so far."""
        with self._lock:
            return [request for request in self.requests if request.path == path]

    def look_up(self, path: str) -> tuple[tuple[bytes, str, str] | None, Fault | None]:
        """The file at a path, and what is to go wrong."""
        with self._lock:
            faults = self._faults[path]
            return self._files.get(path), faults.popleft() if faults else None

    def note(self, request: Request) -> None:
        """Remember a request."""
        with self._lock:
            self.requests.append(request)

    @contextmanager
    def running(self) -> Iterator["FileHost"]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.go_on.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class _Server(ThreadingHTTPServer):
    """Says nothing of clients that hang up."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _handler(host: FileHost) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or each answer waits 40 ms for an acknowledgement

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

        def do_GET(self) -> None:
            file, fault = host.look_up(self.path)
            match fault:
                case Status():
                    self._answer(fault.code, fault.headers, b"")
                case Page():
                    self._answer(200, {"Content-Type": "text/html"}, fault.text.encode())
                case _ if file is None:
                    self._answer(404, {}, b"not found")
                case _:
                    self._serve(*file, fault)

        def _serve(self, content: bytes, etag: str, modified: str, fault: Fault | None) -> None:
            headers = {"Last-Modified": modified, "Accept-Ranges": "bytes"}
            if host.names_etags:
                headers["ETag"] = etag
            if self._is_held(headers):
                self._answer(304, headers, b"")
                return
            code, start = 200, 0
            span = _RANGE.fullmatch(self.headers.get("Range", ""))
            if span and self.headers.get("If-Range") in (None, etag, modified):
                code, start = 206, int(span[1])
                if start >= len(content):
                    headers["Content-Range"] = f"bytes */{len(content)}"
                    self._answer(416, headers, b"")
                    return
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            if isinstance(fault, Flip):
                content = bytearray(content)
                content[fault.at] ^= 0xFF
            self._answer(code, headers, bytes(content[start:]), fault)

        def _is_held(self, headers: dict[str, str]) -> bool:
            if "If-None-Match" in self.headers:
                return self.headers["If-None-Match"] == headers.get("ETag")
            return self.headers.get("If-Modified-Since") == headers["Last-Modified"]

        def _answer(
            self, code: int, headers: dict[str, str], body: bytes, fault: Fault | None = None
        ) -> None:
            host.note(Request(self.path, dict(self.headers), code))
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            if not isinstance(fault, Cut) or fault.with_length:
                self.send_header("Content-Length", str(len(body)))
            else:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            try:
                self._send(body, fault)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def _send(self, body: bytes, fault: Fault | None) -> None:
            first = fault.after if isinstance(fault, Cut | Stall) else len(body)
            for begin in range(0, first, _BLOCK):
                self.wfile.write(body[begin : min(begin + _BLOCK, first)])
            if isinstance(fault, Cut):
                self.close_connection = True
            if isinstance(fault, Stall):
                host.stalled.set()
                host.go_on.wait()
                self.wfile.write(body[first:])

    return Handler
