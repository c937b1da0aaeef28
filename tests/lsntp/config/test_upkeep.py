import pytest

from lsntp.config import DriftConfig, GateConfig, RetrainConfig, load_domain
from lsntp.errors import ConfigError


def test_the_split_stays_as_written_unless_asked():
    domain = load_domain("demo")
    assert domain.retrain == RetrainConfig(pool="cpu")  # of a laptop; else gpu
    assert not domain.retrain.is_moving
    assert (domain.gate.days, domain.gate.margin) == (28, 0.02)


def test_days_belong_to_the_rolling_window_and_to_no_other():
    assert RetrainConfig(window="rolling", days=30).is_moving
    assert RetrainConfig(window="expanding").is_moving
    for wrong in ({"window": "rolling"}, {"window": "expanding", "days": 30}, {"days": 30}):
        with pytest.raises(ValueError, match="expected days with window: rolling"):
            RetrainConfig.model_validate(wrong)


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (GateConfig, {"days": 5}),  # no 95 % interval from so few
        (GateConfig, {"margin": -0.1}),
        (GateConfig, {"margin": float("nan")}),
        (DriftConfig, {"window_days": 0}),
        (DriftConfig, {"threshold": 1.0}),  # no forecast reaches it
        (DriftConfig, {"for_days": 3, "colour": 1}),
    ],
)
def test_settings_without_a_meaning_are_refused(config, wrong):
    with pytest.raises(ValueError, match=next(reversed(wrong))):
        config.model_validate(wrong)


def test_a_drift_rule_needs_the_baseline_that_it_measures_against():
    overrides = {"drift.for_days": 5, "baselines": ["ridge"]}
    with pytest.raises(ConfigError, match=r"expected persistence under baselines .* found ridge"):
        load_domain("demo", overrides=overrides)
    assert load_domain("demo", overrides={"baselines": ["ridge"]}).baselines == ("ridge",)
