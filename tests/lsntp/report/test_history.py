import re
import shutil

import numpy as np

from lsntp.archives.forecast import ForecastArchive
from lsntp.forecasting import forecast
from lsntp.names import Status
from lsntp.report.history import collect_histories, damaged_versions, render_models
from lsntp.training.champion import champion_path, promote
from lsntp.training.versions import latest_version
from lsntp.workspace import Workspace
from tests.lsntp.report.parsing import Page

OTHER = "net-0123456789ab"


def own_copy(scored, tmp_path):
    shutil.copytree(scored.root, tmp_path / "root")
    return scored.model_copy(update={"root": str(tmp_path / "root")})


def publish_next(domain, version):
    """One more forecast of the network, by another version."""
    archive = ForecastArchive.open(Workspace.of(domain).forecast("net"))
    start = archive.written()[-1:] + domain.cadence
    fields = np.full((1, domain.horizon, *domain.target_grid.shape), 280.0, np.float32)
    archive.publish(
        start, fields, model_version=version, analysis_status=np.array([Status.FINAL], np.int8)
    )
    return start[0]


def test_the_version_of_the_newest_forecast_is_the_one_in_use(scored, tmp_path):
    domain = own_copy(scored, tmp_path)
    (net,) = [h for h in collect_histories(domain) if h.model == "net"]
    trained = latest_version(Workspace.of(domain).models, "net").version
    assert net.now == trained
    assert [use.count for use in net.uses] == [48]  # two days, hourly

    start = publish_next(domain, OTHER)
    (net,) = [h for h in collect_histories(domain) if h.model == "net"]
    assert net.now == OTHER
    assert [(use.version, use.count) for use in net.uses] == [(trained, 48), (OTHER, 1)]
    assert net.uses[-1].first == start
    page = Page(render_models(domain, collect_histories(domain), None, "no scores"))
    assert "until 2021-01-13T23:00Z" in page.text
    assert "not made by the newest version" in page.text


def test_scores_then_are_those_stored_with_the_version(scored):
    version = latest_version(Workspace.of(scored).models, "net")
    mae = sum(version.scores["mae_k"]) / len(version.scores["mae_k"])
    held = sum(version.scores["persistence_mae_k"]) / len(version.scores["persistence_mae_k"])
    page = Page(render_models(scored, collect_histories(scored), None, "no scores"))
    row = page.text[page.text.index(f"{version.version.removeprefix('net-')} forecasts now") :]
    assert f"{mae:.3f}" in row[:200]
    assert f"{1 - mae / held:+.3f}".replace("-", "\N{MINUS SIGN}") in row[:200]
    assert version.provenance.recipe.training_data[:12] in row[:200]


def test_a_damaged_version_is_named(scored, tmp_path):
    domain = own_copy(scored, tmp_path)
    folder = latest_version(Workspace.of(domain).models, "ridge").path
    (folder / "provenance.json").write_text("{")
    assert damaged_versions(domain) == [folder.name]
    page = Page(render_models(domain, collect_histories(domain), None, "no scores"))
    assert f"Not whole and not used: {folder.name}" in page.text


def test_the_champion_is_named_with_the_reason_and_damage_with_the_remedy(scored, tmp_path):
    domain = own_copy(scored, tmp_path)
    histories = collect_histories(domain)
    assert "No version is champion yet" in Page(render_models(domain, histories, None, "")).text
    version = latest_version(Workspace.of(domain).models, "ridge").version
    promote(domain, version, by="anna", reason="It held in the storm.")
    shown = Page(render_models(domain, histories, None, "")).text
    assert f"is {version}, forced by anna. It held in the storm." in shown
    champion_path(domain).write_bytes(b"{")
    shown = Page(render_models(domain, histories, None, "")).text
    assert f"lsntp models promote {domain.domain} VERSION --force" in shown


def test_the_champion_is_a_version_of_another_model_and_has_none_of_its_own(scored, tmp_path):
    domain = own_copy(scored, tmp_path)
    promote(domain, latest_version(Workspace.of(domain).models, "net").version, by="t", reason="r")
    forecast(domain, models=["champion"], period=domain.split.test.period)
    page = Page(render_models(domain, collect_histories(domain), None, "no scores"))
    table = page.text[page.text.index("Stored versions") :]
    champion, net = (re.search(rf"\b{name} .{{80}}", table)[0] for name in ("champion", "net"))
    assert re.search(r"T\d\d:00Z \d+ – ", champion)
    assert re.search(r"T\d\d:00Z 48 1 ", net)
