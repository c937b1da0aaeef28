"""Hosts on loopback that answer as told."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Host:
    """What a host answers by (method, path), and what it was asked."""

    def __init__(self, url):
        self.url = url
        self.answers = {}
        self.date = None
        self.seen = []
        self.authorizations = []

    def answer(self, method, path, content=None, *, status=200, headers=None):
        body = content if isinstance(content, bytes) else json.dumps(content or {}).encode()
        self.answers[method, path] = (status, body, headers or {})


@contextmanager
def serving():
    class Handler(BaseHTTPRequestHandler):
        def _reply(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            host.seen.append((self.command, path, self.headers.get("PRIVATE-TOKEN")))
            host.authorizations.append(self.headers.get("Authorization"))
            status, body, headers = host.answers.get(
                (self.command, path), (404, b'{"title": "not found"}', {})
            )
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_POST = do_HEAD = _reply  # noqa: N815

        def date_time_string(self, timestamp=None):
            return host.date or super().date_time_string(timestamp)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    host = Host(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def host():
    with serving() as one:
        yield one


@pytest.fixture
def other_host():
    with serving() as one:
        yield one
