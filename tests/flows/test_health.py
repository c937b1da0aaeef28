"""What the doctor advises about the scheduler; tests/integration asks a real one."""

import re
from datetime import UTC, datetime
from uuid import uuid4

from prefect.cli.deployment import schedule_app
from prefect.client.schemas.responses import DeploymentResponse

from flows.health import _Deployed, _schedules
from lsntp.doctor.check import Health


def test_the_remedy_for_a_paused_deployment_is_a_command_that_prefect_has():
    paused = DeploymentResponse.model_validate(
        {
            "id": uuid4(),
            "flow_id": uuid4(),
            "name": "steady",
            "paused": True,
            "schedules": [{"schedule": {"cron": "0 * * * *"}, "active": True}],
        }
    )
    deployed = _Deployed("forecast/steady", paused, None, has_run=False, late_since=None)

    check = _schedules("steady", [deployed], datetime(2026, 1, 1, tzinfo=UTC))

    assert (check.health, check.found) == (Health.WARNING, "paused: forecast/steady")
    assert check.remedy.startswith("lsntp deploy steady")
    commands = re.findall(r"prefect deployment (\w+) (\w+)", check.remedy)
    assert commands == [("schedule", "ls"), ("schedule", "resume")]
    assert {"ls", "resume"} <= set(schedule_app)
