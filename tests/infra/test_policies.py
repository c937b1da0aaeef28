"""The bucket policies: who may do what, by the words of the files. Ceph enforces them elsewhere."""

import json

import pytest

from tests.infra.files import INFRA

PLACES = {"arn:aws:s3:::BUCKET", "arn:aws:s3:::BUCKET/PREFIX/*"}


def statements(name: str) -> list[dict]:
    policy = json.loads((INFRA / "policies" / name).read_text("utf-8"))
    assert policy["Version"] == "2012-10-17"  # an older one knows no conditions
    return policy["Statement"]


@pytest.mark.parametrize(
    ("name", "actions"),
    [
        ("reader.json", {"s3:GetObject", "s3:ListBucket"}),
        ("writer.json", {"s3:GetObject", "s3:PutObject", "s3:ListBucket"}),
    ],
)
def test_nobody_may_do_more_than_his_work_nor_list_another_prefix(name, actions):
    allowed = [one for one in statements(name) if one["Effect"] == "Allow"]
    assert {action for one in allowed for action in one["Action"]} == actions
    assert {place for one in allowed for place in one["Resource"]} == PLACES
    for one in allowed:
        if "s3:ListBucket" in one["Action"]:
            assert one["Condition"] == {"StringLikeIfExists": {"s3:prefix": ["PREFIX/*"]}}


def test_the_writer_deletes_nothing_whatever_another_policy_allows():
    (denied,) = (one for one in statements("writer.json") if one["Effect"] == "Deny")
    assert set(denied["Action"]) == {"s3:DeleteObject", "s3:DeleteObjectVersion"}
    assert denied["Resource"] == ["arn:aws:s3:::BUCKET/*"]


def test_every_statement_is_about_one_user_of_the_placeholders():
    for name, user in (("reader.json", "lsntp-reader"), ("writer.json", "lsntp-writer")):
        users = {one["Principal"]["AWS"][0] for one in statements(name)}
        assert users == {f"arn:aws:iam::ACCOUNT:user/{user}"}
