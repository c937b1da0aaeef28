"""The presets of real data, from file to skill table, against the published reference figures."""

import pytest

from lsntp.config import load_domain
from lsntp.evaluation.scoring import evaluate
from lsntp.evaluation.skill import skill_table
from lsntp.forecasting import forecast
from lsntp.ingest import ingest
from lsntp.training import train

NCEP = {"persistence": 2.765, "persistence-climatological-increment": 2.282, "ridge": 2.002}
ERA5 = {"persistence": 1.011, "diurnal-persistence": 1.053, "persistence-diurnal-increment": 0.662}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "mae_k"),
    [("ncep-north-america", NCEP), ("era5-uk", ERA5)],
    ids=["ncep", "era5"],
)
def test_baselines_reach_the_reference_scores_through_every_archive(
    shared_data, tmp_path, monkeypatch, preset, mae_k
):
    monkeypatch.setenv("LSNTP_DATA", str(shared_data))
    monkeypatch.setenv("LSNTP_ROOT", str(tmp_path))
    domain, models = load_domain(preset), list(mae_k)
    ingest(domain)
    train(domain, models=models)
    forecast(domain, models=models, period=domain.split.test.period)
    evaluate(domain)
    table = skill_table(domain)
    assert table.seen == 0
    assert {model: table.score(model, "mae") for model in models} == pytest.approx(mae_k, rel=0.02)
