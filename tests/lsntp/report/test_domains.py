"""The index: what it finds below a root, and how it says it."""

import json

import numpy as np
import pytest

from lsntp.archives.forecast import ForecastArchive
from lsntp.names import Status
from lsntp.report.domains import SUMMARY, Entry, Summary, list_domains, refresh_index, render_index
from lsntp.workspace import Workspace
from tests.lsntp.report.parsing import Page


def entry(**changes):
    summary = Summary("uk", "The British Isles", is_synthetic=False, headline="ridge is best.")
    content = {
        "domain": "uk",
        "summary": summary,
        "last_analysis": "2021-01-01T00:00Z",
        "last_forecast": "none yet",
        "faults": [],
    }
    return Entry(**content | changes)


def publish_forecasts(domain, model, count):
    """All cells 280 K, from the first ``count`` hours; 0 leaves the archive empty."""
    archive = ForecastArchive.create(
        Workspace.of(domain).forecast(model),
        grid=domain.target_grid,
        start=domain.start,
        cadence=domain.cadence,
        lead_times=domain.lead_times,
        attrs={},
    )
    if count:
        archive.publish(
            domain.start + np.arange(count) * domain.cadence,
            np.full((count, domain.horizon, *domain.target_grid.shape), 280.0, np.float32),
            model_version=f"{model}-0123456789ab",
            analysis_status=np.full(count, Status.FINAL, np.int8),
        )


def test_a_summary_is_stored_as_the_fields_it_has():
    text = entry().summary.to_json()
    assert text.endswith("}\n")
    assert json.loads(text) == {
        "domain": "uk",
        "description": "The British Isles",
        "is_synthetic": False,
        "headline": "ridge is best.",
    }


def test_an_empty_root_has_no_domain_and_says_how_to_begin(tmp_path):
    assert list_domains(tmp_path) == []
    path = refresh_index(tmp_path)
    assert path == tmp_path / "reports" / "index.html"
    text = Page(path.read_text("utf-8")).text
    assert "0 domains below this archive root" in text
    assert "Run lsntp demo" in text


def test_a_domain_is_found_by_any_of_its_folders_but_not_by_hidden_ones_or_files(tmp_path):
    for folder in ("analysis/c.zarr", "forecasts/b", "reports/a", "reports/.versions", "models/d"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "reports" / "index.html").write_text("old")
    assert [found.domain for found in list_domains(tmp_path)] == ["a", "b", "c"]


def test_the_last_forecast_is_the_newest_and_says_who_ends_earlier(make_domain, tmp_path):
    domain = make_domain(tmp_path)
    for model, count in (("ridge", 6), ("net", 6), ("persistence", 4), ("climatology", 0)):
        publish_forecasts(domain, model, count)
    publish_forecasts(domain, "net-0123456789ab", 2)  # a version's, of the days it was judged on
    (found,) = list_domains(tmp_path)
    assert found.last_forecast == "from 2021-01-01T05:00Z; persistence end earlier"
    assert found.last_analysis == "none yet"
    assert (found.summary, found.link, found.faults) == (None, "", [])


def test_the_last_analysis_is_the_last_usable_one(make_domain, make_fields, publish, tmp_path):
    domain = make_domain(tmp_path)
    archive = publish(domain, make_fields(domain, 6))
    archive.mark(archive.start + np.arange(6, 8) * domain.cadence, Status.UPSTREAM_HOLE)
    (found,) = list_domains(tmp_path)
    assert found.last_analysis == "2021-01-01T05:00Z"


@pytest.mark.parametrize(
    ("content", "found"),
    [("[1]", "Report: "), ('{"domain": "uk"}', "missing 3 required"), ("", "Report: ")],
)
def test_a_summary_that_is_none_is_a_fault_of_that_domain_alone(tmp_path, content, found):
    for name in ("good", "torn"):
        (tmp_path / "reports" / name).mkdir(parents=True)
    (tmp_path / "reports" / "good" / SUMMARY).write_text(entry().summary.to_json())
    (tmp_path / "reports" / "torn" / SUMMARY).write_text(content)
    good, torn = list_domains(tmp_path)
    assert (good.link, good.faults) == ("good/index.html", [])
    assert (torn.link, torn.summary) == ("", None)
    assert found in torn.faults[0]


def test_the_index_says_what_is_synthetic_what_is_missing_and_what_is_wrong():
    synthetic = Summary("demo", "", is_synthetic=True, headline="Nothing is scored yet.")
    html = render_index(
        [
            entry(domain="demo", summary=synthetic),
            entry(domain="new", summary=None, faults=["Analyses: <torn>"]),
            entry(),
        ]
    )
    page = Page(html)
    assert (page.errors, page.stack) == ([], [])
    assert "3 domains below" in page.text
    assert html.count("synthetic data</span>") == 1
    assert html.count("No report yet. Run <code>lsntp report new</code>") == 1
    assert "Analyses: &lt;torn&gt;" in html
    assert [a["href"] for a in page.all("a")[1:]] == ["demo/index.html", "uk/index.html"]
