"""A Climate Data Store on this machine: the true protocol over real sockets, faults on cue.

The API listens on one port, the object store of results on another, as in the real service. What
it serves are messages of real GRIB files, chosen by the times of a request; a request for another
box than that of the files gets their box, as a faulty store might do. With ``fields`` it serves
any box and time: those values, in real messages otherwise.

A fault is queued for an endpoint with :meth:`CdsServer.cue` and used up by the next call there.

By hand: ``python -m tests.standins.cds FILE...`` serves some files until it is interrupted, and
prints the two variables that lead ``lsntp ingest`` here.
"""

import contextlib
import copy
import datetime as dt
import hashlib
import json
import sys
import threading
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from tests.standins.cds_protocol import (
    AFTER_ACCEPTANCE,
    CORRUPT,
    CUT,
    DATASET,
    GONE,
    HTML,
    LICENCE,
    NO_TOKEN,
    NOT_READY,
    RATE_LIMIT,
    SHORT,
    STALL,
    TOO_LARGE,
    UNANSWERED,
    UNAVAILABLE,
    WITHOUT_THE_LAST,
    Refusal,
    api_handler,
    store_handler,
)
from tests.standins.cds_results import finalised, made, messages_of, times_of, to_netcdf

__all__ = [
    "AFTER_ACCEPTANCE",
    "CORRUPT",
    "CUT",
    "GONE",
    "HTML",
    "LICENCE",
    "NOT_READY",
    "NO_TOKEN",
    "RATE_LIMIT",
    "SHORT",
    "STALL",
    "TOO_LARGE",
    "UNANSWERED",
    "UNAVAILABLE",
    "WITHOUT_THE_LAST",
    "CdsServer",
    "Refusal",
]


@dataclass
class Job:
    """One accepted request and how far it is."""

    id: str
    request: dict[str, Any]
    created: dt.datetime
    asked: int = 0
    end: str = "successful"
    words: str = ""
    content: bytes = b""
    is_gone: bool = False
    is_held: bool = False


class CdsServer:
    """The stand-in; a context manager.

    Args:
        files: GRIB files of 2 m temperature on one grid.
        key: the only key that is accepted.
        fields: gives kelvin (H, W) for a time, latitudes (H,) and longitudes (W,), on any of the
            store's native cells.

    Attributes:
        accepted: inputs of every job that was made, in order.
        calls: (method, path, headers) of every call, to either port.
        cost_limit: fields a request may have, told by ``costing`` and kept at submission.
        hidden_limit: as ``cost_limit``, kept at submission only.
        latest: later times are not there yet: trimmed silently, or refused if none remains.
        withheld: times that are left out of results.
        polls: questions after a job at which it is done; before it is accepted, then running.
        is_held: jobs stay queued.
        is_final: preliminary hours (expver 0005) are served as final ones (0001).
        sends_checksum: whether results carry one.
        end: how jobs that are made from now on end, and with which words.
        failing: times that make every job for them fail.
        asset_url_base: where results are said to be, if not where they are.
        monitor_base: where jobs are said to be, if not where they are.
    """

    def __init__(
        self,
        files: Iterable[Path],
        *,
        key: str = "canary-3f0b51c2-key",
        fields: Callable[..., np.ndarray] | None = None,
    ) -> None:
        self.key = key
        self._fields = fields
        self.accepted: list[dict[str, Any]] = []
        self.calls: list[tuple[str, str, dict[str, str]]] = []
        self.cost_limit = 10_000
        self.hidden_limit = 10_000
        self.latest: np.datetime64 | None = None
        self.withheld: set[np.datetime64] = set()
        self.polls = 2
        self.is_held = False
        self.is_final = False
        self.sends_checksum = True
        self.end: tuple[str, str] = ("successful", "")
        self.failing: set[np.datetime64] = set()
        self.asset_url_base: str | None = None
        self.monitor_base: str | None = None
        self.jobs: dict[str, Job] = {}
        self.happened: dict[str, threading.Event] = defaultdict(threading.Event)
        self._messages = {time: m for path in files for time, m in messages_of(path)}
        self._faults: dict[str, deque[Any]] = defaultdict(deque)
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._api = _serve(api_handler(self))
        self._store = _serve(store_handler(self))

    def __enter__(self) -> "CdsServer":
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for server in (self._api, self._store):
            server.shutdown()
            server.server_close()

    @property
    def url(self) -> str:
        """What CDSAPI_URL should be."""
        return f"http://127.0.0.1:{self._api.server_address[1]}/api"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead cdsapi here."""
        return {"CDSAPI_URL": self.url, "CDSAPI_KEY": self.key}

    def cue(self, endpoint: str, *faults: object) -> None:
        """Queue faults for ``messages``, ``process``, ``costing``, ``execution``, ``job``,
        ``results``, ``jobs`` or ``asset``; None lets one call pass."""
        self._faults[endpoint].extend(faults)

    def submissions(self) -> Counter[str]:
        """How often each request was accepted, by its JSON."""
        return Counter(json.dumps(inputs, sort_keys=True) for inputs in self.accepted)

    def tokens_at_the_store(self) -> list[str]:
        """Keys that were sent to the object store of results."""
        return [
            h["private-token"]
            for _, path, h in self.calls
            if path.startswith("/cache") and "private-token" in h
        ]

    def downloads(self) -> list[str | None]:
        """The ``Range`` of every GET of a result, None for the whole."""
        return [
            h.get("range")
            for method, path, h in self.calls
            if method == "GET" and path.startswith("/cache")
        ]

    def serve(self, time: np.datetime64, content: bytes) -> None:
        """Have these messages for a time, whatever variables are asked for."""
        self._messages[time] = content

    # --- what the handlers ask for -------------------------------------------------------------

    def note(self, method: str, path: str, headers: dict[str, str]) -> None:
        with self._lock:
            self.calls.append((method, path, headers))

    def fault(self, endpoint: str) -> Any:
        with self._lock:
            queue = self._faults[endpoint]
            return queue.popleft() if queue else None

    def wait_until_over(self) -> None:
        self._over.wait(60)

    def cost(self, inputs: dict[str, Any]) -> int:
        return len(inputs["day"]) * len(inputs["time"])

    def submit(self, inputs: dict[str, Any]) -> Job | Refusal:
        if self.cost(inputs) > min(self.cost_limit, self.hidden_limit):
            return TOO_LARGE
        times = times_of(inputs)
        there = [t for t in times if self.latest is None or t <= self.latest]
        if not there:
            return Refusal(
                400,
                "None of the data you have requested is available yet, please revise the period "
                f"requested. The latest date available for this dataset is: {self.latest}.",
            )
        end, words = self.end
        if self.failing & set(times):
            end, words = "failed", "MARS returned no data"
        with self._lock:
            job = Job(str(uuid.uuid4()), inputs, dt.datetime.now(dt.UTC), end=end, words=words)
            if end == "successful":
                job.content = self._pack([t for t in there if t not in self.withheld], inputs)
            self.jobs[job.id] = job
            self.accepted.append(copy.deepcopy(inputs))
        self.happened["accepted"].set()
        return job

    def status(self, job: Job, *, is_question: bool = False) -> str:
        with self._lock:
            job.asked += is_question
            if self.is_held or job.is_held:
                return "accepted"
            if job.asked >= self.polls:
                return job.end
            return "running" if job.asked > 1 else "accepted"

    def describe(
        self, job: Job, query: dict[str, list[str]], *, is_question: bool
    ) -> dict[str, Any]:
        status = self.status(job, is_question=is_question)
        created = job.created.replace(tzinfo=None).isoformat()
        here = f"{self.monitor_base or self.url}/retrieve/v1/jobs/{job.id}"
        links = [{"rel": "self", "href": here}]
        if status in ("successful", "failed"):
            links.append({"rel": "results", "href": f"{here}/results"})
        metadata: dict[str, Any] = {"origin": "api", "datasetMetadata": {"messages": []}}
        if "request" in query:
            metadata["request"] = {"ids": job.request, "labels": {}}
        if "log" in query:
            metadata["log"] = [[created, "Request has been accepted"]]
        return {
            "processID": DATASET,
            "type": "process",
            "jobID": job.id,
            "status": status,
            "created": created,
            "updated": created,
            "started": None if status == "accepted" else created,
            "finished": created if status == job.end else None,
            "links": links,
            "metadata": metadata,
        }

    def results(self, job: Job) -> dict[str, Any] | Refusal:
        status = self.status(job)
        if status in ("failed", "rejected"):
            return Refusal(
                400,
                title=f"The job has {'failed' if status == 'failed' else 'been rejected'}",
                traceback=job.words,
            )
        if status != "successful":
            return NOT_READY
        base = self.asset_url_base or f"http://127.0.0.1:{self._store.server_address[1]}"
        is_grib = job.request["data_format"] == "grib"
        value = {
            "type": "application/x-grib" if is_grib else "application/netcdf",
            "href": f"{base}/cache/{job.id}.{'grib' if is_grib else 'nc'}",
            "file:size": len(job.content),
            "file:local_path": f"s3://cci2-prod-cache/{job.id}",
        }
        if self.sends_checksum:
            value["file:checksum"] = hashlib.md5(job.content).hexdigest()
        return {"asset": {"value": value}}

    def _pack(self, times: list[np.datetime64], inputs: dict[str, Any]) -> bytes:
        if self._fields is None:
            messages = [self._messages[time] for time in times if time in self._messages]
        else:
            template = next(iter(self._messages.values()))
            messages = [made(template, t, inputs["area"], self._fields) for t in times]
        if self.is_final:
            messages = [finalised(message) for message in messages]
        return b"".join(messages) if inputs["data_format"] == "grib" else to_netcdf(messages)


def _serve(handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


def main(*paths: str) -> None:
    with CdsServer([Path(path) for path in paths]) as server:
        for name, value in server.environment.items():
            print(f"export {name}={value}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
