"""The Climate Data Store behind its own client: every question bounded, every refusal explained.

The client is told to try once and to be silent. Its own retry waits a fixed time up to 500
times and ignores Retry-After; its log and its errors may carry the key.
"""

import contextlib
import datetime as dt
import logging
import warnings
from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import cdsapi
import requests
from cdsapi.api import get_url_key_verify
from ecmwf.datastores import Client, Process, Remote, Results
from ecmwf.datastores.processing import ProcessingFailedError

from lsntp.errors import CredentialsError, LsntpError, SourceDataError, SourceUnavailableError
from lsntp.secrets import shown
from lsntp.sources.era5.patience import Patience, is_ambiguous, is_transient
from lsntp.sources.era5.request import Request

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

TOKEN = "PRIVATE-TOKEN"  # noqa: S105 - the name of the header
HOW_TO_GET_A_KEY = (
    "make an account at https://cds.climate.copernicus.eu, copy url and key from "
    "https://cds.climate.copernicus.eu/how-to-api to ~/.cdsapirc (or set CDSAPI_URL and "
    "CDSAPI_KEY)"
)
_LONGEST_WORDS = 600
_CLOCK_SLACK = dt.timedelta(minutes=10)
_JOBS_LOOKED_AT = 20


class TooLargeError(SourceDataError):
    """The store finds a request too large."""


class NotYetError(SourceUnavailableError):
    """The store has none of the asked times yet."""


class JobGoneError(SourceUnavailableError):
    """The store knows the job or its result no more."""


class JobFailedError(SourceDataError):
    """The store could not do the job; the same question at once would have the same answer."""


class JobRejectedError(SourceUnavailableError):
    """The store would not take the job now, as when too many are queued."""


class Service:
    """One connection to the store.

    Args:
        dataset: which the requests are of.
        patience: where to give up.
        timeout_s: longest silence.

    Raises:
        CredentialsError: if there is no usable URL and key.
    """

    def __init__(self, dataset: str, patience: Patience, timeout_s: float) -> None:
        self.url, self._key, verify = credentials()
        self._dataset = dataset
        self._patience = patience
        self._process: Process | None = None
        # Should the list of messages fail, which nobody needs, the client only warns.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._client: Client = cdsapi.Client(
                url=self.url,
                key=self._key,
                verify=verify,
                quiet=True,
                progress=False,
                delete=False,
                retry_max=1,
                sleep_max=patience.longest_pause_s,
                timeout=timeout_s,
                session=_OneOriginSession(self.url),
                info_callback=_drop,
                debug_callback=_drop,
                warning_callback=_drop,
                error_callback=_drop,
            ).client

    def require_affordable(self, request: Request) -> None:
        """Ask what a request would cost; where the store does not tell, submission decides.

        Raises:
            TooLargeError: if it is over the cost limit.
            CredentialsError: if the key is refused.
            SourceUnavailableError: if the store does not answer.
        """
        try:
            with self._explained("the cost of a request"):
                answer = self._patience.ask(
                    lambda: self._get_process().estimate_costs(dict(request.body))
                )
        except SourceDataError as error:
            logger.debug("cost unknown: %s", error)
            return
        cost, limit = answer.get("cost"), answer.get("limit")
        if isinstance(cost, int | float) and isinstance(limit, int | float) and cost > limit:
            raise TooLargeError(
                f"Expected {request} to be within the cost limit of {limit:g}, found {cost:g}."
            )

    def submit(self, request: Request, *, since: dt.datetime, is_unsure: bool) -> UUID:
        """Queue a request; returns the store's name of the job.

        After an answer that leaves open whether the request was accepted, the jobs of the
        account are looked through before it is sent again, and doubles are withdrawn.

        Args:
            request: what to ask.
            since: when it may have been submitted first, by the clock of this machine.
            is_unsure: whether an earlier run may have submitted it.

        Raises:
            TooLargeError: if it is over the cost limit.
            NotYetError: if none of its times can be had yet.
            CredentialsError: if the key is refused or a licence is missing.
            SourceDataError: if the store refuses it for good.
            SourceUnavailableError: if the store does not answer.
        """
        unsure = is_unsure

        def attempt() -> UUID:
            nonlocal unsure
            if unsure and (jobs := self._find(request, since)):
                return self._settle(jobs)
            try:
                remote = self._get_process().submit(dict(request.body))
            except Exception as error:
                unsure = unsure or is_ambiguous(error)
                raise
            job = UUID(remote.request_id)
            return self._settle([job, *self._find(request, since)]) if unsure else job

        with self._explained(str(request)):
            return self._patience.ask(attempt)

    def attach(self, job: UUID) -> Remote:
        """The job of an earlier submission.

        Raises:
            JobGoneError: if the store does not know it, or not as ours.
            SourceUnavailableError: if the store does not answer.
        """
        with self._explained(f"job {job}", job=job):
            return self._patience.ask(lambda: self._client.get_remote(str(job)))

    def status(self, remote: Remote) -> str:
        """``accepted``, ``running``, ``successful``, ``failed`` or ``rejected``.

        Raises:
            JobGoneError: if the store does not know the job any more.
            SourceUnavailableError: if the store does not answer.
        """
        with self._explained(f"job {remote.request_id}", job=remote.request_id):
            status = str(self._patience.ask(lambda: remote.json["status"]))
        if status in ("dismissed", "deleted"):
            raise JobGoneError(f"Expected job {remote.request_id}, found it {status}.")
        return status

    def results(self, remote: Remote) -> Results:
        """Where the result of a job can be had.

        Raises:
            JobFailedError: with the store's words, if the job failed.
            JobRejectedError: with the store's words, if it was rejected.
            JobGoneError: if the result has expired.
        """
        with self._explained(f"the result of job {remote.request_id}", job=remote.request_id):
            return self._patience.ask(lambda: _results(remote))

    def withdraw(self, *jobs: UUID) -> None:
        """Ask the store to forget jobs; it does not matter if it cannot."""
        with contextlib.suppress(Exception):
            self._client.delete(*(str(job) for job in jobs))

    def _get_process(self) -> Process:
        if self._process is None:
            self._process = self._client.get_process(self._dataset)
        return self._process

    def _find(self, request: Request, since: dt.datetime) -> list[UUID]:
        """Jobs of the account for the same request that were made ``since``, newest first.

        Empty if the store does not list jobs: a double then costs a place in the queue, no more.
        """
        try:
            listed = self._client.get_jobs(limit=_JOBS_LOOKED_AT, sortby="-created").json["jobs"]
        except requests.HTTPError as error:
            if is_transient(error):
                raise
            logger.debug("jobs are not listed: %s", self._scrub(_words(error)))
            return []
        recent = [job for job in listed if _is_alive(job, since - _CLOCK_SLACK)]
        return [UUID(job["jobID"]) for job in recent if self._asks(job["jobID"], request)]

    def _asks(self, name: str, request: Request) -> bool:
        """Whether a job is for a request of ours; the store may have sorted or shortened lists."""
        try:
            metadata = self._client.get_remote(name).json["metadata"]
        except requests.HTTPError as error:
            if is_transient(error):
                raise
            return False
        asked = metadata.get("request", {}).get("ids", {})
        return all(
            _values(asked.get(name)) == _values(value) for name, value in request.body.items()
        )

    def _settle(self, jobs: list[UUID]) -> UUID:
        """The first of some jobs that do the same; the others are withdrawn."""
        kept, *others = dict.fromkeys(jobs)
        if others:
            logger.warning("withdrew %d jobs that repeat job %s", len(others), kept)
            self.withdraw(*others)
        return kept

    @contextlib.contextmanager
    def _explained(self, what: str, job: object = None) -> Iterator[None]:
        """Turn what the client raises into our errors, without the key.

        The chain ends here: the client's error holds the request, and that the key.
        """
        try:
            yield
        except LsntpError:
            raise
        except requests.HTTPError as error:
            raise self._refusal(error, what, job) from None
        except ProcessingFailedError as error:
            raise self._failure(what, str(error)) from None
        except Exception as error:
            raise SourceUnavailableError(
                f"Expected an answer of the Climate Data Store ({self.url}) about {what}, found "
                f"{type(error).__name__}: {self._scrub(str(error))}; tried as often and as long as "
                "configured. Look at https://status.ecmwf.int, then run again: nothing is lost."
            ) from None

    def _refusal(self, error: requests.HTTPError, what: str, job: object) -> LsntpError:
        code = error.response.status_code if error.response is not None else 0
        words = self._scrub(_words(error))
        low = words.lower()
        if job is not None and (code == 403 or (code == 404 and "not ready" not in low)):
            return JobGoneError(
                f"Expected {what} at the Climate Data Store, found {words}; it is submitted anew."
            )
        if job is not None and code == 400:
            return self._failure(what, words)
        if code == 403 and "licence" in low:
            return CredentialsError(
                f"Expected the licence of {self._dataset} to be accepted, found: {words} Log in "
                f"and accept it at the foot of https://cds.climate.copernicus.eu/datasets/"
                f"{self._dataset}?tab=download, then run again."
            )
        if code == 403 and ("cost limit" in low or "too large" in low):
            return TooLargeError(f"Expected {what} to be within the cost limit, found {words}")
        if code in (401, 403):
            return CredentialsError(
                f"Expected the Climate Data Store ({self.url}) to accept the key, found {words}; "
                f"{HOW_TO_GET_A_KEY}, then run again."
            )
        if code == 400 and "available yet" in low:
            return NotYetError(f"Expected {what}, found {words}")
        if 400 <= code < 500 and code not in (404, 408, 429):
            return SourceDataError(
                f"Expected the Climate Data Store to take {what}, found {words}; correct "
                "source.dataset or the period."
            )
        if code == 404 and job is None:
            return SourceDataError(
                f"Expected {self._dataset} at {self.url}, found {words}; correct source.dataset, "
                "or url in ~/.cdsapirc."
            )
        return SourceUnavailableError(
            f"Expected an answer of the Climate Data Store about {what}, found {words}; tried as "
            "often and as long as configured. Run again later: nothing is lost."
        )

    def _failure(self, what: str, words: str) -> JobFailedError | JobRejectedError:
        kind = JobRejectedError if "rejected" in words.lower() else JobFailedError
        return kind(f"Expected {what} at the Climate Data Store, found: {self._scrub(words)}")

    def _scrub(self, text: str) -> str:
        """``text`` without the key, in one line, cut to what fits a message."""
        return " ".join(text.replace(self._key, "***").split())[:_LONGEST_WORDS]


class _OneOriginSession(requests.Session):
    """Sends the key to the host it belongs to, wherever a link or redirect may lead."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._origin = _origin(url)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """See :meth:`requests.Session.send`.

        Raises:
            SourceDataError: if the key would leave its host.
        """
        found = _origin(request.url or "")
        if TOKEN in request.headers and found != self._origin:
            raise SourceDataError(
                f"Expected the Climate Data Store to stay at {_text(self._origin)}, found a link "
                f"to {_text(found)}; the key was not sent there. Correct url in ~/.cdsapirc."
            )
        return super().send(request, **options)


def credentials() -> tuple[str, str, bool]:
    """URL, key and whether to verify certificates, as cdsapi finds them.

    Raises:
        CredentialsError: if there are none that the store of today could accept.
    """
    try:
        url, key, verify = get_url_key_verify(None, None, None)
    except Exception as error:
        found = shown(str(error)) or type(error).__name__
        raise CredentialsError(
            f"Expected the URL and key of the Climate Data Store, found: {found}; "
            f"{HOW_TO_GET_A_KEY}."
        ) from None
    url, key = url.rstrip("/"), key.strip()
    if not key or ":" in key or url.endswith("/v2") or "@" in urlsplit(url).netloc:
        raise CredentialsError(
            "Expected a URL that ends in /api and a key without a colon, found those of the old "
            f"service, which was switched off, or none; {HOW_TO_GET_A_KEY}."
        )
    return url, key, bool(verify)


def _results(remote: Remote) -> Results:
    """The result; the store may need a moment after it called a job successful."""
    try:
        return remote.get_results()
    except requests.HTTPError as error:
        if "not ready" in _words(error).lower():
            raise requests.exceptions.ConnectionError(_words(error)) from error
        raise


def _words(error: requests.HTTPError) -> str:
    """What an error answer says: status, title, traceback and detail."""
    response = error.response
    if response is None:
        return str(error)
    try:
        body = response.json()
    except ValueError:
        body = {}
    said = [
        str(body[k])
        for k in ("title", "traceback", "detail")
        if isinstance(body, dict) and body.get(k)
    ]
    return ". ".join([f"HTTP {response.status_code}", *said])


def _is_alive(job: dict[str, Any], since: dt.datetime) -> bool:
    """Whether a listed job was made ``since`` and may still bring its result."""
    created = dt.datetime.fromisoformat(job["created"])
    if created.tzinfo is None:
        created = created.replace(tzinfo=dt.UTC)
    return job["status"] in ("accepted", "running", "successful") and created >= since


def _values(value: object) -> list[str]:
    values = value if isinstance(value, list | tuple) else [value]
    return sorted(f"{v:g}" if isinstance(v, int | float) else str(v) for v in values)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port


def _text(origin: tuple[str, str, int | None]) -> str:
    scheme, host, port = origin
    return f"{scheme}://{host}:{port}"


def _drop(*_words: object, **_more: object) -> None:
    """The client's own log: its first line holds the key."""
