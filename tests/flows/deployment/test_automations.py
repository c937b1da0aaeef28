"""Which automations of a server are a domain's."""

import uuid

import pytest
from prefect.events.schemas.automations import Automation, EventTrigger

from flows.deployment.automations import is_automation_of

OURS, THEIRS = uuid.uuid4(), uuid.uuid4()


def called(name, action=None):
    trigger = EventTrigger(expect={"rain"}, posture="Reactive", threshold=1)
    actions = [action or {"type": "do-nothing"}]
    return Automation.model_validate(
        {"id": uuid.uuid4(), "name": name, "trigger": trigger.model_dump(), "actions": actions}
    )


@pytest.mark.parametrize("deployment", [OURS, THEIRS])
def test_one_that_runs_a_deployment_of_the_domain_is_whatever_its_name(deployment):
    found = called("rain", {"type": "run-deployment", "deployment_id": str(deployment)})
    assert is_automation_of(found, "steady", {OURS}) == (deployment == OURS)


@pytest.mark.parametrize(
    ("name", "domains"),
    [
        ("lsntp alarms of steady", {"steady"}),
        ("lsntp watch of steady has stopped", {"steady"}),
        ("lsntp alarms of of", {"of"}),
        ("lsntp alarms of steady-north", {"steady-north"}),
        ("forecast/steady on new analyses", {"steady"}),
        ("the neighbours' alarms of steady", set()),
        ("lsntp runs that never began have crashed", set()),
    ],
)
def test_names_are_ours_in_full_and_a_word_of_them_is_no_domain(name, domains):
    every_name = ("steady", "steady-north", "north", "of", "watch", "alarms", "lsntp", "new")
    found = {one for one in every_name if is_automation_of(called(name), one, set())}
    assert found == domains
