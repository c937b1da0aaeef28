"""The webhook against a real server: what it sends, and that nothing it meets breaks or binds."""

import logging
import time
import traceback

import pytest

from lsntp.alarms.webhook import Webhook
from lsntp.errors import ConfigError, DeliveryError
from tests.standins.webhook import receiving, unused_address

CANARY = "canary-4711-hook"
QUICK = {"pause_s": 0.01, "timeout_s": 5.0}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("LSNTP_ALARM_WEBHOOK", raising=False)


@pytest.fixture
def receiver():
    with receiving(f"/services/{CANARY}?token={CANARY}") as started:
        yield started


def refusal(webhook, content=None):
    with pytest.raises(DeliveryError) as refused:
        webhook.post(content or {"text": "hello"})
    assert CANARY not in "".join(traceback.format_exception(refused.value))
    assert refused.value.is_transient
    return str(refused.value)


def test_a_notice_is_one_post_of_json_with_its_key(receiver):
    Webhook(receiver.url).post({"text": "21 °C", "id": "1"})
    ((path, headers, content),) = receiver.posts
    assert path == f"/services/{CANARY}?token={CANARY}"
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("lsntp/")
    assert content == {"text": "21 °C", "id": "1"}


@pytest.mark.parametrize("fault", [500, 503, 429, "drop"])
def test_a_fault_that_passes_is_met_by_another_attempt(receiver, fault):
    receiver.answers = [fault, fault, 200]
    Webhook(receiver.url, **QUICK).post({"text": "hello"})
    assert len(receiver.posts) == 3


def test_a_fault_that_stays_is_told_after_three_attempts(receiver):
    receiver.answers = [500]
    message = refusal(Webhook(receiver.url, **QUICK))
    assert "Expected the webhook at 127.0.0.1 to take a notice, found HTTP 500" in message
    assert "told again by the next watch" in message
    assert len(receiver.posts) == 3


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_what_waiting_cannot_cure_is_asked_once(receiver, code):
    receiver.answers = [code]
    assert f"found HTTP {code};" in refusal(Webhook(receiver.url, **QUICK))
    assert len(receiver.posts) == 1


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_not_followed(receiver, code):
    with receiving() as other:
        receiver.answers, receiver.location = [code], other.url
        message = refusal(Webhook(receiver.url, **QUICK))
        assert f"HTTP {code} (redirects are not followed)" in message
        assert (len(receiver.posts), other.posts) == (1, [])


def test_nobody_there_is_told_in_the_systems_words():
    assert "Connection refused" in refusal(Webhook(unused_address(), **QUICK))
    message = refusal(Webhook(f"http://name.invalid/{CANARY}", **QUICK))
    assert "webhook at name.invalid" in message


@pytest.mark.parametrize("fault", ["hang", "trickle"])
def test_an_endpoint_that_never_ends_holds_nobody_up(receiver, fault):
    receiver.answers = [fault]
    started = time.monotonic()
    message = refusal(Webhook(receiver.url, timeout_s=60, deadline_s=0.5))
    assert "no end within 0.5 s" in message
    assert time.monotonic() - started < 30  # neither the 60 s of silence nor for ever


def test_silence_is_an_attempt_that_failed(receiver):
    receiver.answers = ["hang", 200]
    Webhook(receiver.url, pause_s=0.01, timeout_s=0.2, deadline_s=60).post({"text": "hello"})
    assert len(receiver.posts) == 2


def test_the_key_is_in_no_log_and_no_representation(receiver, caplog):
    caplog.set_level(logging.DEBUG)
    receiver.answers = [500, 302, 200]
    webhook = Webhook(receiver.url, **QUICK)
    refusal(webhook)
    webhook.post({"text": "hello"})
    assert CANARY not in caplog.text
    assert CANARY not in repr(webhook)
    assert webhook.host == "127.0.0.1"


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://host/{CANARY}",
        f"file:///etc/{CANARY}",
        f"https:///{CANARY}",
        CANARY,
        f"https://host/{CANARY}\r\nX-Other: 1",
        f"https://host/{CANARY} more",
        f"https://[host/{CANARY}",
        f"https://host:99999999/{CANARY}",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(url):
    with pytest.raises(ConfigError) as refused:
        Webhook(url)
    assert CANARY not in "".join(traceback.format_exception(refused.value))


def test_the_environment_beats_the_file_and_neither_means_none(make_domain, tmp_path):
    plain = make_domain(tmp_path)
    assert Webhook.of(plain, {}) is None
    assert Webhook.of(plain, {"LSNTP_ALARM_WEBHOOK": " "}) is None
    file = tmp_path / "url"
    file.write_text("https://from-file/x\n")
    domain = make_domain(tmp_path, alarms={"webhook_file": str(file)})
    assert Webhook.of(domain, {}).host == "from-file"
    assert Webhook.of(domain, {"LSNTP_ALARM_WEBHOOK": "https://from-env/x"}).host == "from-env"


def test_a_file_that_is_not_there_or_holds_no_address_is_told_by_its_path(make_domain, tmp_path):
    file = tmp_path / "url"
    domain = make_domain(tmp_path, alarms={"webhook_file": str(file)})
    with pytest.raises(ConfigError, match="No such file or directory"):
        Webhook.of(domain, {})
    file.write_bytes(b"\xff" + CANARY.encode())
    with pytest.raises(ConfigError, match="no plain text") as refused:
        Webhook.of(domain, {})
    assert CANARY not in "".join(traceback.format_exception(refused.value))
