import datetime as dt

import pytest
from pydantic import ValidationError

from lsntp.times import Period
from lsntp.training.provenance import Provenance, Recipe, hardware, period_as_text, source_commit


def recipe(**changes):
    content = {
        "model": "net",
        "kind": "network",
        "domain": "small",
        "training_period": ("2021-01-01T00:00Z", "2021-01-09T00:00Z"),
        "validation_period": ("2021-01-09T07:00Z", "2021-01-12T00:00Z"),
        "training_data": "abc",
        "grid_digest": "def",
        "history": 4,
        "horizon": 3,
        "cadence_h": 1.0,
        "settings": {"hidden": 2},
        "seed": 1,
        "code_version": "0.1.0",
    }
    return Recipe.model_validate(content | changes)


def test_equal_recipes_have_equal_versions():
    assert recipe().version == recipe().version
    name, digest = recipe().version.rsplit("-", 1)
    assert name == "net"
    assert len(digest) == 12
    assert set(digest) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    "change",
    [
        {"training_data": "other"},
        {"settings": {"hidden": 3}},
        {"seed": 2},
        {"code_version": "0.2.0"},
        {"parent": "net-0123456789ab"},
        {"repeat": 1},
        {"horizon": 4},
    ],
)
def test_whatever_decides_the_weights_changes_the_version(change):
    assert recipe(**change).version != recipe().version


def test_a_recipe_never_changes():
    with pytest.raises(ValidationError, match="frozen"):
        recipe().seed = 3


def test_provenance_refuses_unknown_keys():
    content = {
        "version": recipe().version,
        "recipe": recipe().model_dump(),
        "grid": "6 x 8",
        "parameters": 1,
        "is_synthetic": True,
        "commit": None,
        "hardware": hardware(),
        "durations_s": {},
        "created_at": dt.datetime(2021, 2, 1, tzinfo=dt.UTC),
    }
    assert Provenance.model_validate(content).version == recipe().version
    with pytest.raises(ValidationError, match="surprise"):
        Provenance.model_validate(content | {"surprise": 1})


def test_hardware_names_the_accelerator():
    found = hardware("some GPU", 4)
    assert (found["accelerator"], found["devices"]) == ("some GPU", "4")


def test_periods_are_stored_as_text():
    period = Period.parse("2021-01-01", "2021-01-09T06:00")
    assert period_as_text(period) == ("2021-01-01T00:00Z", "2021-01-09T06:00Z")


def test_outside_a_checkout_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr("lsntp.__file__", str(tmp_path / "lsntp" / "__init__.py"))
    assert source_commit() is None


def test_a_failing_git_is_no_failure(monkeypatch, tmp_path):
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr("lsntp.__file__", str(tmp_path / "lsntp" / "__init__.py"))
    assert source_commit() is None
