"""The automations about alarms fit the events that the watch emits, and the page's patience."""

import uuid
from datetime import timedelta

from prefect.events.schemas.automations import AutomationCore

from flows.deployment import plan
from flows.watch import watch
from lsntp.alarms.notices import EVENTS
from lsntp.config import load_domain


def standing(words):
    """The entry of the demo whose name has these words, with some block's id."""
    domain = load_domain("demo")
    (found,) = [
        one for one in plan.plan_for(domain, "demo", {}).standing if words in one.spec["name"]
    ]
    (action,) = found.spec["actions"]
    rest = {key: value for key, value in action.items() if key != "block"}
    action = {**rest, "block_document_id": uuid.uuid4()}
    return AutomationCore.model_validate({**found.spec, "actions": [action]})


def test_every_alarm_and_all_clear_of_the_domain_is_told():
    found = standing("alarms of demo")
    assert found.trigger.expect == {f"{prefix}.*" for prefix in EVENTS.values()}
    assert found.trigger.match.model_dump() == {"prefect.resource.id": "lsntp.domain.demo"}
    assert "{{ event.payload.text | tojson }}" in found.actions[0].payload


def test_a_watch_that_stops_is_missed_when_its_page_is_out_of_date():
    found = standing("watch of demo has stopped")
    page = timedelta(minutes=load_domain("demo").alarms.page_minutes)
    assert (found.trigger.posture, found.trigger.within) == ("Proactive", page)
    flow, tag = (one.model_dump() for one in found.trigger.match_related)
    assert flow["prefect.resource.name"] == watch.name
    assert tag["prefect.resource.id"] == "prefect.tag.demo"
