"""Alarms as one POST of JSON to an address that the operator has given, and to no other."""

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import tenacity

import lsntp
from lsntp.config import WEBHOOK_VARIABLE, Domain
from lsntp.errors import ConfigError, DeliveryError

MOST_BYTES = 4096
"""A file that holds a longer address holds something else."""
WORTH_A_RETRY = (408, 425, 429, 500, 502, 503, 504)


class _RefusedError(Exception):
    """The endpoint did not take it: ``found`` says how, and holds nothing that it said."""

    def __init__(self, found: str, *, is_transient: bool) -> None:
        super().__init__(found)
        self.found = found
        self.is_transient = is_transient


@dataclass(frozen=True)
class Webhook:
    """Where alarms are posted to.

    Attributes:
        url: http or https; may hold a key, so it is never shown.
        attempts: of one notice.
        pause_s: before the second attempt; then twice as long.
        timeout_s: longest silence of the endpoint.
        deadline_s: longest time for one notice, attempts and pauses together: nothing that the
            endpoint does holds a run up for longer.
    """

    url: str = field(repr=False)
    attempts: int = 3
    pause_s: float = 0.5
    timeout_s: float = 5.0
    deadline_s: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what is no address; the message does not repeat it."""
        try:
            parts = urlsplit(self.url)
            is_address = (
                parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            )
        except ValueError:
            is_address = False
        if not is_address or any(ord(letter) <= 32 or ord(letter) > 126 for letter in self.url):
            raise ConfigError(
                f"Expected {WEBHOOK_VARIABLE}, or the file that alarms.webhook_file names, to hold "
                "an address such as https://host/path, found something else (not shown, for it may "
                "hold a key)."
            )

    @classmethod
    def of(cls, domain: Domain, environment: Mapping[str, str] = os.environ) -> Self | None:
        """The one the environment or the domain's file names; None where neither does.

        Raises:
            ConfigError: if it is no address, or the file cannot be read.
        """
        if url := environment.get(WEBHOOK_VARIABLE, "").strip():
            return cls(url)
        if domain.alarms.webhook_file is None:
            return None
        path = Path(domain.alarms.webhook_file).expanduser()
        try:
            with path.open("rb") as file:
                return cls(file.read(MOST_BYTES).decode("ascii").strip())
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "no plain text"
            raise ConfigError(
                f"Expected a file with the address of the webhook at {path} (alarms.webhook_file), "
                f"found: {why}; put it there, readable for you only, or set {WEBHOOK_VARIABLE}."
            ) from None

    @property
    def host(self) -> str:
        """What may be shown of it."""
        return urlsplit(self.url).hostname or ""

    def post(self, content: Mapping[str, Any]) -> None:
        """Post JSON once; what an answer says beyond its status is not looked at.

        Redirects are not followed: the operator named one host. A thread does it, so that an
        endpoint that trickles bytes is left behind at the deadline, too.

        Raises:
            DeliveryError: if it was not taken; neither address nor answer is in the message.
        """
        body = json.dumps(content).encode()
        outcome: list[str] = [f"no end within {self.deadline_s:g} s"]

        def deliver() -> None:
            try:
                self._retrying()(self._attempt, body)
            except _RefusedError as refusal:
                outcome[0] = refusal.found
            else:
                outcome[0] = ""

        thread = threading.Thread(target=deliver, name="lsntp-webhook", daemon=True)
        thread.start()
        thread.join(self.deadline_s)
        if outcome[0]:
            raise DeliveryError(
                f"Expected the webhook at {self.host} to take a notice, found {outcome[0]}; it is "
                f"told again by the next watch. If that goes on, correct {WEBHOOK_VARIABLE} or "
                "alarms.webhook_file and try it with `lsntp alarms DOMAIN --test`."
            )

    def _retrying(self) -> tenacity.Retrying:
        return tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.attempts)
            | tenacity.stop_after_delay(self.deadline_s),
            wait=tenacity.wait_exponential(multiplier=self.pause_s),
            retry=tenacity.retry_if_exception(
                lambda error: isinstance(error, _RefusedError) and error.is_transient
            ),
            reraise=True,
        )

    def _attempt(self, body: bytes) -> None:
        # urllib, because the log lines of requests and httpx hold whole addresses, keys and all.
        posted = request.Request(  # noqa: S310  (http and https only, see __post_init__)
            self.url,
            data=body,
            headers={
                "Content-Type": "application/json",
                "User-Agent": f"lsntp/{lsntp.__version__}",
            },
            method="POST",
        )
        try:
            with _opener().open(posted, timeout=self.timeout_s):
                return
        except HTTPError as error:
            error.close()
            way = " (redirects are not followed)" if 300 <= error.code < 400 else ""
            raise _RefusedError(
                f"HTTP {error.code}{way}", is_transient=error.code in WORTH_A_RETRY
            ) from None
        except (URLError, OSError, HTTPException) as error:
            raise _RefusedError(_cause(error), is_transient=True) from None


def _opener() -> request.OpenerDirector:
    """One that knows http and https, proxies of the environment, and no redirects."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _cause(error: BaseException) -> str:
    """The system's words for it; other texts might repeat the address."""
    reason = getattr(error, "reason", error)
    words = reason.strerror if isinstance(reason, OSError) and reason.strerror else ""
    return words or type(reason if isinstance(reason, BaseException) else error).__name__
