"""How the stand-in of the Climate Data Store talks: its answers and refusals, and faults on cue."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for an acknowledgement
    cds: Any

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


def api_handler(server: Any) -> type[BaseHTTPRequestHandler]:
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


def _known(handler: Any, name: str) -> Any:
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


def store_handler(server: Any) -> type[BaseHTTPRequestHandler]:
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
