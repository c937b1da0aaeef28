"""How often, with which pauses and until when the store is asked again."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import requests
from ecmwf.datastores.processing import LinkError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential, wait_random

from lsntp.sources.transfer import retry_after_s

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_TRANSIENT_CODES = frozenset({408, 429, 500, 502, 503, 504})
_CUT = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)
_GARBLED = (requests.exceptions.JSONDecodeError, LinkError, KeyError, AssertionError)
"""What the client raises over an answer that is not the store's, such as a page of a proxy."""


def is_transient(error: BaseException) -> bool:
    """Whether asking again may help."""
    if isinstance(error, requests.exceptions.SSLError):
        return False
    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code in _TRANSIENT_CODES
    return isinstance(error, (*_CUT, *_GARBLED))


def is_ambiguous(error: BaseException) -> bool:
    """Whether what was asked may have been done although the answer says it failed."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code in _TRANSIENT_CODES - {429}
    return is_transient(error)


@dataclass(frozen=True)
class Patience:
    """Where a run gives up.

    Attributes:
        attempts: of one question.
        longest_pause_s: between two questions, unless the store asks for more.
        deadline: of everything, on the monotonic clock.
    """

    attempts: int
    longest_pause_s: float
    deadline: float

    @property
    def remaining_s(self) -> float:
        """Seconds to the deadline."""
        return max(0.0, self.deadline - time.monotonic())

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """The answer, after as many attempts as it takes and is allowed.

        A pause that would end past the deadline is not begun.

        Raises:
            Exception: what the last attempt raised, as it was.
        """
        retrying = Retrying(
            retry=retry_if_exception(is_transient),
            stop=stop_after_attempt(self.attempts),
            wait=self._pause_s,
            reraise=True,
        )
        return retrying(question)

    def _pause_s(self, state: RetryCallState) -> float:
        """What the store asks for, else a growing pause."""
        failure = state.outcome.exception() if state.outcome is not None else None
        initial_s = min(1.0, self.longest_pause_s)
        growing = wait_exponential(multiplier=initial_s, max=self.longest_pause_s) + wait_random(
            0, initial_s / 4
        )
        pause_s = max(_asked_s(failure), growing(state))
        if failure is not None and pause_s >= self.remaining_s:
            raise failure
        if state.attempt_number < self.attempts:
            logger.info("the store does not answer for now; asked again in %.1f s", pause_s)
        return pause_s


def _asked_s(error: BaseException | None) -> float:
    """Seconds that an answer asks to wait; 0 if it does not."""
    if not isinstance(error, requests.HTTPError) or error.response is None:
        return 0.0
    return retry_after_s(error.response.headers.get("Retry-After"))
