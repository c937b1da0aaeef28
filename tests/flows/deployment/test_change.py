"""Which fields differ, and how that reads."""

from flows.deployment.change import Change, Difference, Outcome, differences


def test_differences_are_named_by_their_path_and_nothing_else_is_listed():
    found = {"pool": "cpu", "parameters": {"a": 1, "b": [1, 2]}, "paused": False}
    expected = {"pool": "gpu", "parameters": {"a": 1, "b": [1, 3]}, "paused": False}
    assert differences(found, expected) == (
        Difference("parameters.b.1", 2, 3),
        Difference("pool", "cpu", "gpu"),
    )


def test_a_field_that_is_absent_on_one_side_is_nothing_there():
    (more,) = differences({}, {"parameters": {"root": "/data"}})
    assert str(more) == "parameters.root: nothing -> /data"
    (less,) = differences({"parameters": {"root": "/data"}}, {"parameters": {}})
    assert str(less) == "parameters.root: /data -> nothing"


def test_what_is_shown_is_short_and_holds_no_password_of_a_url():
    shown = str(Difference("url", "https://user:canary@host/a", "x" * 1000))
    assert "canary" not in shown
    assert len(shown) < 200


def test_only_what_a_deploy_would_change_or_no_file_has_is_drift():
    drifts = {o for o in Outcome if Change("limit", "one", o).is_drift}
    assert drifts == {Outcome.CREATED, Outcome.UPDATED, Outcome.STRAY}
