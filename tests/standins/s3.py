"""The far side of S3: moto's server over a socket, which counts, and errs on cue.

The server is the real one; between it and the socket stands a layer that notes every request
and the bytes of every answer, and follows cues: the next request that fits is answered with
an error, cut short, held, or answered after something happened to the bucket.
"""

import itertools
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Answer = Callable[[Environ, StartResponse], Iterable[bytes]]
OWNER = {"aws_access_key_id": "owner", "aws_secret_access_key": "owner-secret"}


@dataclass
class Request:
    """One request of a client, noted as it comes, and how many bytes of body it was sent."""

    method: str
    path: str
    range: str
    is_signed: bool
    sent: int = 0


@dataclass
class Cue:
    """What to do with the next ``times`` requests of ``method`` whose path matches ``path``."""

    method: str
    path: str
    act: Callable[[Answer, Environ, StartResponse], Iterable[bytes]]
    times: int

    def fits(self, environ: Environ) -> bool:
        is_meant = environ["REQUEST_METHOD"] == self.method
        return self.times > 0 and is_meant and bool(re.search(self.path, environ["PATH_INFO"]))


@dataclass
class S3:
    """A running server with one public bucket.

    Attributes:
        url: of the server, for ``AWS_ENDPOINT_URL``.
        bucket: its name.
        owner: a client that may do everything, and is not counted.
        requests: what clients asked so far; the owner's own requests are not among them.
    """

    url: str
    bucket: str
    owner: Any = field(repr=False)
    requests: list[Request] = field(default_factory=list)
    cues: list[Cue] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Bytes of body sent to clients."""
        return sum(request.sent for request in self.requests)

    def put(self, key: str, content: bytes, *, public: bool = True) -> None:
        acl = {"ACL": "public-read"} if public else {"ACL": "private"}
        self.owner.put_object(Bucket=self.bucket, Key=key, Body=content, **acl)

    def get(self, key: str) -> bytes:
        content: bytes = self.owner.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def stored(self, prefix: str = "") -> list[str]:
        pages = self.owner.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix
        )
        return [one["Key"] for page in pages for one in page.get("Contents", ())]

    def delete(self, key: str) -> None:
        self.owner.delete_object(Bucket=self.bucket, Key=key)

    def fail(self, method: str, path: str, status: int, code: str, times: int = 1) -> None:
        """Answer with an error of S3."""

        def act(_answer: Answer, environ: Environ, start: StartResponse) -> list[bytes]:
            text = f"<Error><Code>{code}</Code><Message>on cue</Message></Error>".encode()
            body = b"" if environ["REQUEST_METHOD"] == "HEAD" else text
            start(f"{status} On cue", [("Content-Length", str(len(body)))])
            return [body]

        self.cues.append(Cue(method, path, act, times))

    def cut(
        self, path: str, after: int, times: int = 1, hold: threading.Event | None = None
    ) -> None:
        """Announce the whole body of a GET, send ``after`` bytes of it, and hang up.

        With ``hold`` the line stays open, silent, until it is set.
        """

        def act(answer: Answer, environ: Environ, start: StartResponse) -> Iterator[bytes]:
            whole = b"".join(answer(environ, start))
            yield whole[:after]
            if hold is not None:
                hold.wait(60)

        self.cues.append(Cue("GET", path, act, times))

    def ignore_ranges(self, path: str, times: int = 1) -> None:
        """Answer a GET with the whole object, whatever range was asked for."""

        def act(answer: Answer, environ: Environ, start: StartResponse) -> Iterable[bytes]:
            return answer({k: v for k, v in environ.items() if k != "HTTP_RANGE"}, start)

        self.cues.append(Cue("GET", path, act, times))

    def drip(self, path: str, count: int, pause_s: float, times: int = 1) -> None:
        """Announce the whole body of a GET, send ``count`` single bytes of it, and hang up."""

        def act(answer: Answer, environ: Environ, start: StartResponse) -> Iterator[bytes]:
            whole = b"".join(answer(environ, start))
            for place in range(min(count, len(whole))):
                yield whole[place : place + 1]
                threading.Event().wait(pause_s)

        self.cues.append(Cue("GET", path, act, times))

    def announce(self, path: str, size: int, times: int = 1) -> None:
        """Answer a HEAD with another size than the object has."""

        def act(answer: Answer, environ: Environ, start: StartResponse) -> Iterable[bytes]:
            def say(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
                kept = [pair for pair in headers if pair[0].lower() != "content-length"]
                return start(status, [*kept, ("Content-Length", str(size))], *rest)

            return answer(environ, say)

        self.cues.append(Cue("HEAD", path, act, times))

    def lose_answer(self, method: str, path: str, times: int = 1) -> None:
        """Do what was asked, then answer with a failure of the line between."""

        def act(answer: Answer, environ: Environ, start: StartResponse) -> list[bytes]:
            for _ in answer(environ, lambda *_: None):
                pass
            start("502 Bad Gateway", [("Content-Length", "0")])
            return [b""]

        self.cues.append(Cue(method, path, act, times))

    def at(self, method: str, number: int, event: Callable[[], object], *, done: bool) -> None:
        """Let something happen at one of the next requests, before or after it is ``done``."""
        numbers = itertools.count(1)

        def act(answer: Answer, environ: Environ, start: StartResponse) -> Iterable[bytes]:
            if next(numbers) != number:
                return answer(environ, start)
            pieces = list(answer(environ, start)) if done else []
            event()
            if not done:
                start("503 On cue", [("Content-Length", "0")])
            return pieces

        self.cues.append(Cue(method, ".", act, times=2**31))

    def answer(
        self,
        method: str,
        path: str,
        act: Callable[[Answer, Environ, StartResponse], Iterable[bytes]],
        times: int = 1,
    ) -> None:
        """Answer in a way of the test's own."""
        self.cues.append(Cue(method, path, act, times))

    def before(self, method: str, path: str, event: Callable[[], object], times: int = 1) -> None:
        """Let something happen first, then answer as ever."""

        def act(answer: Answer, environ: Environ, start: StartResponse) -> Iterable[bytes]:
            event()
            return answer(environ, start)

        self.cues.append(Cue(method, path, act, times))

    def forget(self) -> None:
        """Start counting anew, with no cue left."""
        self.requests.clear()
        self.cues.clear()


class _Layer:
    """Between the socket and moto."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.buckets: list[S3] = []
        self.lock = threading.Lock()

    def __call__(self, environ: Environ, start: StartResponse) -> Iterator[bytes]:
        found = next((b for b in self.buckets if self._is_client_of(b, environ)), None)
        if found is None:
            yield from self.answer(environ, start)
            return
        with self.lock:
            cue = next((cue for cue in found.cues if cue.fits(environ)), None)
            if cue:
                cue.times -= 1
        request = Request(
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            environ.get("HTTP_RANGE", ""),
            "HTTP_AUTHORIZATION" in environ,
        )
        found.requests.append(request)
        act = cue.act if cue else lambda answer, *call: answer(*call)
        for piece in act(self.answer, environ, start):
            request.sent += len(piece)
            yield piece

    @staticmethod
    def _is_client_of(bucket: S3, environ: Environ) -> bool:
        is_owner = f"Credential={OWNER['aws_access_key_id']}/" in environ.get(
            "HTTP_AUTHORIZATION", ""
        )
        return environ["PATH_INFO"].startswith(f"/{bucket.bucket}/") and not is_owner


class _Handler(MotoRequestHandler):
    """Without a line on standard error for every request."""

    def log(self, *_: Any) -> None:
        pass


class S3Server:
    """The server; :meth:`open_bucket` gives each test a bucket of its own."""

    def __init__(self) -> None:
        self._layer = _Layer(DomainDispatcherApplication(create_backend_app))
        self._listen(0)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._owner = boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", **OWNER)

    def _listen(self, port: int) -> None:
        self._server = make_server(
            "127.0.0.1", port, self._layer, threaded=True, request_handler=_Handler
        )

    @contextmanager
    def running(self) -> Iterator["S3Server"]:
        self._serve()
        try:
            yield self
        finally:
            self._stop()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Nobody listens; what is stored stays."""
        port = self._server.server_port
        self._stop()
        try:
            yield
        finally:
            self._listen(port)
            self._serve()

    def _serve(self) -> None:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def open_bucket(self, name: str) -> S3:
        bucket = S3(self.url, name, self._owner)
        self._owner.create_bucket(Bucket=name)
        self._layer.buckets.append(bucket)
        return bucket
