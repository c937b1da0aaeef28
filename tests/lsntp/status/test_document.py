"""What programs may rely on: documents that fit the published schema, and say what each key is."""

import copy
import json

import jsonschema
import pytest

from lsntp.status.document import Status, schema


@pytest.fixture(scope="module")
def validator():
    found = schema()
    checked = jsonschema.Draft202012Validator
    checked.check_schema(found)
    return checked(found, format_checker=checked.FORMAT_CHECKER)


@pytest.fixture(params=["well", "troubled", "new"])
def document(request, make_status, make_troubled, make_new):
    made = {"well": make_status, "troubled": make_troubled, "new": make_new}[request.param]()
    return json.loads(made.to_json())


def test_every_document_fits_the_schema_and_is_read_back(validator, document):
    validator.validate(document)
    assert json.loads(Status.model_validate(document).to_json()) == document


def test_the_schema_refuses_what_is_missing_misspelt_or_of_another_kind(validator, make_status):
    sound = json.loads(make_status().to_json())
    for change in (
        lambda content: content.pop("made_at"),
        lambda content: content.update(maed_at="2021-02-01"),
        lambda content: content.update(level="purple"),
        lambda content: content.update(version=2),
        lambda content: content["disk"].pop("free_gb"),
        lambda content: content["judgements"][0].update(name="lunch"),
        lambda content: content["skill"].update(skill="good"),
    ):
        content = copy.deepcopy(sound)
        change(content)
        assert not validator.is_valid(content), content


def test_every_key_that_does_not_explain_itself_is_documented(validator):
    plain = {"domain", "description", "lsntp_version", "final", "preliminary", "missing"}
    plain |= {"level", "expected", "found", "where", "remedy"}
    found = validator.schema
    for part in [found, *found["$defs"].values()]:
        for key, content in part.get("properties", {}).items():
            assert content.get("description") or key in plain, key


def test_times_are_utc_and_say_so(make_status):
    content = json.loads(make_status().to_json())
    for key in ("made_at", "good_until"):
        assert content[key].endswith("Z")
