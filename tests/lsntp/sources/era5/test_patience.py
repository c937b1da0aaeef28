"""How often the store is asked again, and how long is waited between."""

import time

import pytest
import requests

from lsntp.sources.era5.patience import Patience, is_ambiguous, is_transient


def http_error(code, **headers):
    response = requests.Response()
    response.status_code = code
    response.headers.update(headers)
    return requests.HTTPError(response=response)


def patience(attempts=3, deadline_s=60.0):
    return Patience(attempts, 0.01, time.monotonic() + deadline_s)


def failing(*errors):
    calls = list(errors)

    def question():
        if calls:
            raise calls.pop(0)
        return "answer"

    return question


def test_a_passing_fault_is_asked_again():
    assert patience().ask(failing(http_error(503), requests.ConnectionError())) == "answer"


def test_the_last_fault_comes_out_as_it_was():
    last = http_error(503)
    with pytest.raises(requests.HTTPError) as caught:
        patience().ask(failing(http_error(500), http_error(502), last))
    assert caught.value is last


def test_a_pause_that_would_end_past_the_deadline_is_not_begun():
    refusal = http_error(429, **{"Retry-After": "30"})
    with pytest.raises(requests.HTTPError) as caught:
        patience(deadline_s=20).ask(failing(refusal))
    assert caught.value is refusal


@pytest.mark.parametrize("code", [400, 401, 403, 404, 422])
def test_a_refusal_for_good_is_asked_once(code):
    refusal = http_error(code)
    assert not is_transient(refusal)
    with pytest.raises(requests.HTTPError):
        patience().ask(failing(refusal))


def test_a_certificate_that_does_not_fit_is_no_passing_fault():
    assert not is_transient(requests.exceptions.SSLError())


def test_only_a_rate_limit_says_surely_that_nothing_was_done():
    assert not is_ambiguous(http_error(429))
    assert not is_ambiguous(http_error(403))
    assert is_ambiguous(http_error(502))
    assert is_ambiguous(requests.ConnectionError())
    assert is_ambiguous(requests.ReadTimeout())
