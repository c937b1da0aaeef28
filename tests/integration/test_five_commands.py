"""The README's five commands, typed as they stand there, lead to scheduled forecasts."""

import datetime as dt
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import xarray as xr

from tests.integration.services import (
    BIN,
    PROJECT,
    Server,
    Service,
    free_port,
    made_domain,
    run_lsntp,
    wait_for,
)

pytestmark = pytest.mark.slow

PRESET, PORT = "era5-hourly", "4200"
"""What the README says; here a domain whose source can be reached, and a free port."""
EVERY_MINUTE = "* * * * *"


def five_commands() -> list[str]:
    """The lines of the first console of the section on schedules."""
    section = (PROJECT / "README.md").read_text().partition("## Run it on a schedule\n")[2]
    console = section.partition("```console\n$ ")[2].partition("```")[0]
    return re.split(r"^\$ ", console, flags=re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the user stands: nothing there but the file of a domain that is two weeks old."""
    start = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=13)
    text = made_domain("hourly", start=start, ingest=EVERY_MINUTE)
    (tmp_path / "hourly.yaml").write_text(text)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    """Where the first command will listen; not yet started."""
    port = str(free_port())
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    environment = kept | {
        "HOME": str(folder),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT),
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_API_PORT": port,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "LSNTP_ROOT": str(folder / "root"),
    }
    url = f"http://127.0.0.1:{port}/api"
    with httpx.Client(base_url=url, timeout=60) as api:
        yield Server(environment, api, terminal(five_commands()[0], environment, folder))


def terminal(line: str, environment: dict[str, str], folder: Path) -> Service:
    """A shell that runs a line of the README, with our port and our domain in it."""
    line = line.replace(f":{PORT}/", f":{environment['PREFECT_SERVER_API_PORT']}/")
    line = line.replace(f"deploy {PRESET}", "deploy hourly.yaml").replace(PRESET, "hourly")
    log = folder / f"{re.sub(r'[^a-z]+', '-', line.partition('#')[0][-40:])}.log"
    return Service("bash", "-c", line, environment=environment, log=log)


def test_they_lead_to_a_forecast_from_the_present_hour(server: Server, folder: Path) -> None:
    commands = five_commands()
    assert len(commands) == 5
    _, choose, deploy, work, train = (
        terminal(line, server.environment, folder) for line in commands
    )

    with ExitStack() as stack:

        def typed(command: Service) -> None:
            stack.callback(command.stop)
            command.start()
            assert command.wait(180) == 0, command.log.read_text()

        stack.callback(server.service.stop)
        server.start()
        typed(choose)
        typed(deploy)
        stack.callback(work.stop)
        work.start()
        wait_for(lambda: server.runs("ingest/hourly", "COMPLETED"), "the first ingest")
        typed(train)
        server.complete(server.runs("train/hourly")[0]["id"])
        wait_for(lambda: server.runs("forecast/hourly", "COMPLETED"), "a forecast")
        newest = newest_init_time(folder / "root" / "forecasts" / "hourly" / "champion.zarr")
        assert dt.datetime.now(dt.UTC) - newest < dt.timedelta(hours=2)
        assert all(run["auto_scheduled"] for run in server.runs("ingest/hourly", "COMPLETED"))
        started = server.runs("forecast/hourly", "COMPLETED")
        assert {run["created_by"]["type"] for run in started} <= {"AUTOMATION", "SCHEDULE"}
        run_lsntp(server, "doctor", "hourly.yaml", cwd=folder)


def newest_init_time(archive: Path) -> dt.datetime:
    """Of what is written, as plain xarray reads it."""
    with xr.open_zarr(archive, chunks=None) as forecast:
        written = forecast["init_time"].values[forecast["written_leads"].values > 0]
    return dt.datetime.fromisoformat(str(written[-1])[:19]).replace(tzinfo=dt.UTC)
