"""What is shown and what is passed on holds no secret."""

import pytest

from lsntp.secrets import shown, without_secrets


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://user:word@host/api", "https://***@host/api"),
        ("https://user:w@rd@host:8443/api", "https://***@host:8443/api"),
        (
            'no answer: "http://key@10.0.0.1:9000/bucket/a"',
            'no answer: "http://***@10.0.0.1:9000/bucket/a"',
        ),
        ("https://a:b@x/ and s3://c:d@y/z", "https://***@x/ and s3://***@y/z"),
        ("https://host/a@b?c=d@e", "https://host/a@b?c=d@e"),
        ("mail someone@example.org", "mail someone@example.org"),
    ],
)
def test_user_and_password_are_taken_out_of_every_url(text, clean):
    assert shown(text) == clean


def test_variables_whose_names_tell_of_secrets_are_not_passed_on():
    kept = {"PATH": "/bin", "HOME": "/root", "OMP_NUM_THREADS": "1", "LSNTP_ROOT": "/data"}
    secret = (
        "CDSAPI_KEY",
        "CDSAPI_URL",
        "CDSAPI_RC",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_PROFILE",
        "PREFECT_API_KEY",
        "PREFECT_API_AUTH_STRING",
        "GITHUB_TOKEN",
        "DB_PASSWORD",
        "MY_SECRETS",
        "https_proxy",
        "LSNTP_ALARM_WEBHOOK",
        "lsntp_alarm_webhook",
    )
    assert without_secrets(kept | dict.fromkeys(secret, "x")) == kept
