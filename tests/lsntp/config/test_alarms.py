import pytest
from pydantic import ValidationError

from lsntp.config import AlarmsConfig, load_domain
from lsntp.errors import ConfigError

CANARY = "canary-4711"


@pytest.mark.parametrize(
    "wrong",
    [
        {"analysis_late_h": 5, "analysis_overdue_h": 4},
        {"forecast_late_h": 5, "forecast_overdue_h": 4},
        {"rejections_some": 5, "rejections_many": 4},
        {"coverage_low": 0.5, "coverage_min": 0.6},
        {"disk_low_gb": 1, "disk_min_gb": 2},
    ],
)
def test_red_never_comes_before_yellow(wrong):
    with pytest.raises(ValidationError, match=r"expected .* of at (least|most)"):
        AlarmsConfig(**wrong)


def test_equal_limits_leave_no_yellow_and_are_allowed():
    assert AlarmsConfig(disk_low_gb=2, disk_min_gb=2).disk_min_gb == 2


def test_an_address_in_the_domain_file_is_refused_and_not_repeated(tmp_path):
    for key in ("webhook_file", "webhook"):
        with pytest.raises(ConfigError) as refused:
            load_domain("demo", overrides={f"alarms.{key}": f"https://host/{CANARY}"})
        assert CANARY not in str(refused.value)


def test_the_file_of_the_address_is_looked_for_beside_the_domain_file(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text(load_domain("demo").to_yaml())
    found = load_domain(path, overrides={"alarms": {"webhook_file": "secret/url"}})
    assert found.alarms.webhook_file == str(tmp_path / "secret" / "url")
