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
import functools
import hashlib
import json
import re
import sys
import threading
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import eccodes
import netCDF4
import numpy as np

DATASET = "reanalysis-era5-single-levels"
LICENCE_TEXT = (
    "Not all the required licences have been accepted; please visit "
    f"https://cds.climate.copernicus.eu/datasets/{DATASET}?tab=download#manage-licences to accept "
    "the required licence(s)."
)
TITLES = {
    400: "invalid request",
    401: "permission denied",
    403: "permission denied",
    404: "job not found",
    405: "method not allowed",
    429: "rate limit exceeded",
    500: "internal server error",
    502: "bad gateway",
    503: "service unavailable",
}


@dataclass(frozen=True)
class Refusal:
    """An error answer in the store's form, in place of the true one."""

    status: int
    detail: str = ""
    title: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    traceback: str | None = None


RATE_LIMIT = Refusal(
    429, "Rate limit exceeded. Please wait 1 seconds.", headers={"Retry-After": "1"}
)
UNAVAILABLE = Refusal(503)
NO_TOKEN = Refusal(401, "authentication required")
LICENCE = Refusal(403, LICENCE_TEXT, title="required licences not accepted")
TOO_LARGE = Refusal(
    403, "Your request is too large, please reduce your selection.", title="cost limits exceeded"
)
NOT_READY = Refusal(404, "status of the job is 'running'", title="job results not ready")
GONE = Refusal(404, "job not found")

AFTER_ACCEPTANCE = "after acceptance"
"""Of ``execution``: the job is made, the answer is a 502 of a proxy."""

UNANSWERED = "unanswered"
"""Of ``execution``: the job is made, no answer comes."""

CUT, CORRUPT, SHORT, HTML, STALL = "cut", "corrupt", "short", "html", "stall"
WITHOUT_THE_LAST = "without the last message"
"""Of ``asset``: the connection ends half way; a byte differs; a byte is missing, declared so; a
page of words, declared so; half the bytes and then silence; whole messages, but one too few."""


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
        self._messages = {time: m for path in files for time, m in _messages(path)}
        self._faults: dict[str, deque[Any]] = defaultdict(deque)
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._api = _serve(_api_handler(self))
        self._store = _serve(_store_handler(self))

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
        times = _times(inputs)
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
            messages = [_made(template, t, inputs["area"], self._fields) for t in times]
        if self.is_final:
            messages = [_finalised(message) for message in messages]
        return b"".join(messages) if inputs["data_format"] == "grib" else _to_netcdf(messages)


def _times(inputs: dict[str, Any]) -> list[np.datetime64]:
    return [
        np.datetime64(f"{year}-{month}-{day}T{time}", "ns")
        for year in inputs["year"]
        for month in inputs["month"]
        for day in inputs["day"]
        for time in inputs["time"]
    ]


@functools.cache
def _messages(path: Path) -> list[tuple[np.datetime64, bytes]]:
    return list(_read_messages(path))


def _read_messages(path: Path) -> Iterator[tuple[np.datetime64, bytes]]:
    with path.open("rb") as file:
        while (message := eccodes.codes_grib_new_from_file(file)) is not None:
            date, time = (eccodes.codes_get(message, key, str) for key in ("dataDate", "dataTime"))
            stamp = f"{date[:4]}-{date[4:6]}-{date[6:]}T{time[:2]}:{time[2:]}"
            yield np.datetime64(stamp, "ns"), eccodes.codes_get_message(message)
            eccodes.codes_release(message)


def _made(
    template: bytes, time: np.datetime64, area: list[float], fields: Callable[..., np.ndarray]
) -> bytes:
    """A message of other values over another box at another time."""
    north, west, south, east = area
    latitude = np.arange(north, south - 0.01, -0.25)
    longitude = np.arange(west, east + 0.01, 0.25)
    stamp = np.datetime_as_string(time, "m")
    message = eccodes.codes_new_from_message(template)
    for key, value in {
        "Ni": longitude.size,
        "Nj": latitude.size,
        "latitudeOfFirstGridPointInDegrees": north,
        "latitudeOfLastGridPointInDegrees": south,
        "longitudeOfFirstGridPointInDegrees": west,
        "longitudeOfLastGridPointInDegrees": east,
        "dataDate": int(stamp[:10].replace("-", "")),
        "dataTime": int(stamp[11:].replace(":", "")),
    }.items():
        eccodes.codes_set(message, key, value)
    eccodes.codes_set_values(message, fields(time, latitude, longitude).ravel())
    made: bytes = eccodes.codes_get_message(message)
    eccodes.codes_release(message)
    return made


def _finalised(content: bytes) -> bytes:
    message = eccodes.codes_new_from_message(content)
    eccodes.codes_set(message, "expver", "0001")
    final: bytes = eccodes.codes_get_message(message)
    eccodes.codes_release(message)
    return final


def _to_netcdf(messages: list[bytes]) -> bytes:
    """The store's netCDF of today: valid_time, latitude north to south, expver as text."""
    dataset = netCDF4.Dataset("memory", "w", memory=1024)
    dataset.createDimension("valid_time", len(messages))
    for index, content in enumerate(messages):
        message = eccodes.codes_new_from_message(content)
        rows, columns = (eccodes.codes_get(message, key) for key in ("Nj", "Ni"))
        if index == 0:
            latitude = eccodes.codes_get_array(message, "latitudes").reshape(rows, columns)[:, 0]
            longitude = eccodes.codes_get_array(message, "longitudes").reshape(rows, columns)[0]
            for name, axis in (
                ("latitude", latitude),
                ("longitude", (longitude + 180) % 360 - 180),
            ):
                dataset.createDimension(name, axis.size)
                variable = dataset.createVariable(name, "f8", (name,))
                variable.units = f"degrees_{'north' if name == 'latitude' else 'east'}"
                variable[:] = axis
            valid_time = dataset.createVariable("valid_time", "i8", ("valid_time",))
            valid_time.units, valid_time.calendar = (
                "seconds since 1970-01-01",
                "proleptic_gregorian",
            )
            dataset.createVariable("number", "i8", ())[...] = 0
            expver = dataset.createVariable("expver", str, ("valid_time",))
            t2m = dataset.createVariable(
                "t2m", "f4", ("valid_time", "latitude", "longitude"), fill_value=np.nan
            )
            t2m.units, t2m.GRIB_paramId, t2m.GRIB_shortName = "K", np.int64(167), "2t"
        date, time = (eccodes.codes_get(message, key, str) for key in ("dataDate", "dataTime"))
        stamp = np.datetime64(f"{date[:4]}-{date[4:6]}-{date[6:]}T{time[:2]}:{time[2:]}", "s")
        valid_time[index] = stamp.astype(np.int64)
        expver[index] = eccodes.codes_get(message, "expver", str)
        t2m[index] = eccodes.codes_get_values(message).reshape(rows, columns)
        eccodes.codes_release(message)
    return bytes(dataset.close())


# --- sockets -----------------------------------------------------------------------------------


def _serve(handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cds: CdsServer

    def log_message(self, *_words: object) -> None:
        """Silent."""

    def read_body(self) -> dict[str, Any]:
        length = int(self.headers.get("Content-Length", 0))
        return json.loads(self.rfile.read(length)) if length else {}

    def answer(
        self, body: object, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def refuse(self, refusal: Refusal) -> None:
        title = refusal.title or TITLES[refusal.status]
        body = {
            "type": title,
            "title": title,
            "status": refusal.status,
            "detail": refusal.detail or None,
            "instance": self.path,
            "trace_id": "0",
        }
        if refusal.traceback is not None:
            body["traceback"] = refusal.traceback
        self.answer(body, refusal.status, refusal.headers)


def _api_handler(server: CdsServer) -> type[BaseHTTPRequestHandler]:
    process = f"/api/retrieve/v1/processes/{DATASET}"
    job = r"/api/retrieve/v1/jobs/([0-9a-f-]{36})"
    routes: list[tuple[str, str, str, Callable[..., None]]] = [
        ("GET", r"/api/catalogue/v1/messages", "messages", lambda h: h.answer({"messages": []})),
        ("GET", rf"/api/catalogue/v1/collections/{DATASET}", "collection", _collection),
        ("GET", process, "process", lambda h: h.answer({"id": DATASET, "links": []})),
        ("POST", rf"{process}/costing", "costing", _costing),
        ("POST", rf"{process}/constraints", "constraints", lambda h: h.answer({})),
        ("POST", rf"{process}/execution", "execution", _execution),
        ("GET", r"/api/retrieve/v1/jobs", "jobs", _list_jobs),
        ("POST", r"/api/retrieve/v1/jobs/delete", "delete", _delete_many),
        ("GET", job, "job", _get_job),
        ("DELETE", job, "delete", _delete_one),
        ("GET", rf"{job}/results", "results", _get_results),
        ("GET", r"/api/profiles/v1/account/licences", "licences", _licences),
        (
            "POST",
            r"/api/profiles/v1/account/verification/pat",
            "pat",
            lambda h: h.answer({"id": 1}),
        ),
    ]

    class Api(_Handler):
        cds = server

        def handle_call(self) -> None:
            path = urlsplit(self.path).path
            server.note(self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
            self.body = self.read_body()
            for method, pattern, endpoint, action in routes:
                if method == self.command and (match := re.fullmatch(pattern, path)):
                    self.route(endpoint, action, match.groups())
                    return
            self.refuse(Refusal(404, f"dataset {path} not found", title="process not found"))

        def route(self, endpoint: str, action: Callable[..., None], names: tuple[str, ...]) -> None:
            fault = server.fault(endpoint)
            if isinstance(fault, Refusal):
                self.refuse(fault)
            elif fault == HTML:
                self.send_page()
            elif fault == CUT:
                self.close_connection = True
                self.connection.close()
            elif fault == AFTER_ACCEPTANCE:
                server.submit(self.body["inputs"])
                self.refuse(Refusal(502))
            elif fault == UNANSWERED:
                server.submit(self.body["inputs"])
                server.wait_until_over()
            elif endpoint != "messages" and "PRIVATE-TOKEN" not in self.headers:
                self.refuse(NO_TOKEN)
            elif endpoint != "messages" and self.headers["PRIVATE-TOKEN"] != server.key:
                self.refuse(Refusal(401, "operation not allowed"))
            else:
                action(self, *names)
            server.happened[endpoint].set()

        def send_page(self) -> None:
            content = b"<!DOCTYPE html><html><body>We will be back soon</body></html>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = handle_call  # noqa: N815 - names of http.server

    return Api


def _known(handler: Any, name: str) -> Job | None:
    job = handler.cds.jobs.get(name)
    if job is None or job.is_gone:
        handler.refuse(Refusal(404, f"job {name} not found"))
        return None
    return job


def _collection(handler: Any) -> None:
    latest = handler.cds.latest
    end = None if latest is None else f"{np.datetime_as_string(latest, 'D')}T00:00:00Z"
    handler.answer(
        {
            "id": DATASET,
            "title": "ERA5 hourly data on single levels from 1940 to present",
            "extent": {"temporal": {"interval": [["1940-01-01T00:00:00Z", end]]}},
            "links": [
                {"rel": "self", "href": f"{handler.cds.url}/catalogue/v1/collections/{DATASET}"},
                {"rel": "retrieve", "href": f"{handler.cds.url}/retrieve/v1/processes/{DATASET}"},
            ],
        }
    )


def _costing(handler: Any) -> None:
    cds = handler.cds
    cost = cds.cost(handler.body["inputs"])
    handler.answer({"id": "size", "cost": cost, "limit": cds.cost_limit, "request_is_valid": True})


def _execution(handler: Any) -> None:
    made = handler.cds.submit(handler.body["inputs"])
    if isinstance(made, Refusal):
        handler.refuse(made)
        return
    reply = handler.cds.describe(made, {}, is_question=False)
    where = f"{handler.cds.url}/retrieve/v1/jobs/{made.id}"
    reply["links"].append({"rel": "monitor", "href": where})
    handler.answer(reply, 201, {"Location": where})


def _list_jobs(handler: Any) -> None:
    query = parse_qs(urlsplit(handler.path).query)
    cds = handler.cds
    newest = sorted(cds.jobs.values(), key=lambda job: job.created, reverse=True)
    shown = [job for job in newest if not job.is_gone][: int(query.get("limit", ["10"])[0])]
    handler.answer(
        {"jobs": [cds.describe(job, {}, is_question=False) for job in shown], "links": []}
    )


def _get_job(handler: Any, name: str) -> None:
    if job := _known(handler, name):
        query = parse_qs(urlsplit(handler.path).query)
        handler.answer(handler.cds.describe(job, query, is_question="log" in query))
        if "log" in query:
            handler.cds.happened["jobs looked after"].set()


def _get_results(handler: Any, name: str) -> None:
    if job := _known(handler, name):
        results = handler.cds.results(job)
        if isinstance(results, Refusal):
            handler.refuse(results)
        else:
            handler.answer(results)


def _delete_one(handler: Any, name: str) -> None:
    if job := _known(handler, name):
        job.is_gone = True
        handler.answer({**handler.cds.describe(job, {}, is_question=False), "status": "dismissed"})


def _delete_many(handler: Any) -> None:
    gone = [handler.cds.jobs[name] for name in handler.body["job_ids"]]
    for job in gone:
        job.is_gone = True
    handler.answer({"jobs": [{"jobID": job.id, "status": "dismissed"} for job in gone]})


def _licences(handler: Any) -> None:
    handler.answer({"licences": [{"id": "cc-by", "revision": 1}]})


def _store_handler(server: CdsServer) -> type[BaseHTTPRequestHandler]:
    class Store(_Handler):
        cds = server

        def do_HEAD(self) -> None:
            self.send(with_body=False)

        def do_GET(self) -> None:
            self.send(with_body=True)

        def send(self, *, with_body: bool) -> None:
            server.note(self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
            job = server.jobs.get(Path(urlsplit(self.path).path).stem)
            fault = server.fault("asset") if with_body else None
            if job is None or isinstance(fault, Refusal):
                self.send_error(fault.status if isinstance(fault, Refusal) else 404)
                return
            content = _spoiled(job.content, fault)
            first = 0
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            etag = f'"{hashlib.md5(job.content).hexdigest()}"'
            if asked and self.headers.get("If-Range", etag) == etag:
                first = int(asked[1])
            self.send_response(206 if first else 200)
            if first:
                span = f"bytes {first}-{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", span)
            for name, value in {
                "Content-Type": "binary/octet-stream",
                "Accept-Ranges": "bytes",
                "ETag": etag,
                "Content-Length": str(len(content) - first),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.send_content(content[first:], fault)

        def send_content(self, content: bytes, fault: object) -> None:
            if fault not in (CUT, STALL):
                self.wfile.write(content)
                server.happened["all sent"].set()
                return
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            server.happened["half sent"].set()
            if fault == STALL:
                server.wait_until_over()
            self.close_connection = True
            self.connection.close()

    return Store


def _spoiled(content: bytes, fault: object) -> bytes:
    if fault == CORRUPT:
        place = len(content) // 2
        return content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :]
    if fault == SHORT:
        return content[:-1]
    if fault == WITHOUT_THE_LAST:
        return content[: content.rindex(b"GRIB")]
    if fault == HTML:
        return b"<!DOCTYPE html><html><body>Gateway time-out</body></html>"
    return content


def main(*paths: str) -> None:
    with CdsServer([Path(path) for path in paths]) as server:
        for name, value in server.environment.items():
            print(f"export {name}={value}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
