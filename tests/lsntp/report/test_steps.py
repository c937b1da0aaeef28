"""The first page before there is a score: what there is, and what to run next."""

import numpy as np
import pytest

from lsntp.archives.analysis import AnalysisArchive
from lsntp.errors import ArchiveError
from lsntp.evaluation.scoring import evaluate
from lsntp.forecasting import forecast
from lsntp.names import Status
from lsntp.report.steps import Step, render_steps, steps_of
from lsntp.times import Period
from lsntp.training import latest_version, promote
from lsntp.workspace import Workspace
from tests.lsntp.report.parsing import Page

COMMANDS = [
    "lsntp ingest small",
    "lsntp train small",
    "lsntp forecast small",
    "lsntp evaluate small",
]


def found_by(domain):
    return [step.found for step in steps_of(domain)]


def test_nothing_is_done_of_a_domain_that_has_only_its_file(make_domain, tmp_path):
    steps = steps_of(make_domain(tmp_path))
    assert [(step.found, step.is_done) for step in steps] == [("none yet", False)] * 4
    assert [step.command for step in steps] == COMMANDS


def test_each_step_tells_what_it_left(ingested, trained):
    assert found_by(ingested) == [
        "360 usable fields, the last of 2021-01-15T23:00Z",  # 15 days hourly
        *["none yet"] * 3,
    ]
    forecast(trained, models=["ridge"], period=Period.parse("2021-01-12", "2021-01-12T06"))
    models = len(trained.model_names)
    assert found_by(trained)[1:3] == [
        f"{models} versions of {models} models, no champion yet",
        "of 1 model, the last from 2021-01-12T05:00Z",
    ]
    version = latest_version(Workspace.of(trained).models, "climatology").version
    forecast(trained, models=[version], period=Period.parse("2021-01-12", "2021-01-12T06"))
    evaluate(trained, models=[version])
    assert found_by(trained)[3] == "none yet"
    evaluate(trained)
    assert found_by(trained)[3] == "of 1 model"


def test_before_training_hours_of_the_split_come_first(ingested):
    """A first ingest brings the newest hours; what is trained on may lie long before them."""
    split = ingested.split.model_dump(mode="json")
    split["train"] = {"start": "2020-01-01", "end": "2020-06-01"}
    split["validation"] = {"start": "2020-06-01", "end": "2020-07-01"}
    earlier = ingested.model_validate(
        {
            **ingested.model_dump(mode="json"),
            "archive": {"start": "2020-01-01"},
            "split": split,
        }
    )
    step = steps_of(earlier)[0]

    assert not step.is_done
    assert step.command == "lsntp backfill small"
    assert step.found.endswith("; too few in the training and validation blocks")


def test_the_champion_is_named_and_counts_as_no_model_of_its_own(trained):
    version = latest_version(Workspace.of(trained).models, "ridge").version
    promote(trained, version, by="test", reason="test")
    period = Period.parse("2021-01-12", "2021-01-12T06")
    forecast(trained, models=["champion", "ridge"], period=period)
    evaluate(trained)
    found = found_by(trained)
    assert found[1].endswith(f", champion {version}")
    assert found[3] == "of 1 model"


def test_an_archive_without_a_usable_field_is_no_step_done(make_domain, make_fields, tmp_path):
    domain = make_domain(tmp_path)
    archive = AnalysisArchive.create(
        Workspace.of(domain).analysis,
        grid=domain.target_grid,
        start=domain.start,
        cadence=domain.cadence,
        attrs={},
    )
    archive.mark(domain.start + np.arange(3) * domain.cadence, Status.QUARANTINED)
    assert not steps_of(domain)[0].is_done


def test_a_damaged_archive_is_an_error(ingested):
    root = Workspace.of(ingested).analysis / "zarr.json"
    root.write_bytes(root.read_bytes()[:100])
    with pytest.raises(ArchiveError):
        steps_of(ingested)


def test_the_page_names_the_first_step_that_is_not_done(uk):
    steps = [
        Step("Analyses", "744 usable fields", "lsntp ingest era5-uk", is_done=True),
        Step("Models", "none yet", "lsntp train era5-uk", is_done=False),
        Step("Forecasts", "none yet", "lsntp forecast era5-uk", is_done=False),
    ]
    page = Page(render_steps(uk, steps, "Nothing is scored yet."))
    assert "Nothing is scored yet." in page.text
    assert page.text.count("Run next:") == 1
    assert "Run next: lsntp train era5-uk" in page.text
    assert "Then lsntp report era5-uk writes this page anew." in page.text
