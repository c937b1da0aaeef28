"""Limits of the quality checks: what may be set, and what the shipped values promise."""

import pytest
from pydantic import ValidationError

from lsntp.config import QualityConfig


def test_every_limit_says_what_it_means_and_what_true_fields_reach() -> None:
    for name, field in QualityConfig.model_fields.items():
        description = field.description or ""
        assert "True" in description or "record" in description, name


def test_the_records_of_the_earth_lie_inside() -> None:
    # WMO: Vostok 1983-07-21, -89.2 C; Furnace Creek 1913-07-10, 56.7 C.
    limits = QualityConfig()
    assert limits.minimum_k < 273.15 - 89.2
    assert limits.maximum_k > 273.15 + 56.7


@pytest.mark.parametrize(
    "content",
    [
        {"minimum_k": 340.0},
        {"minimum_k": 400.0},
        {"maximum_step_k": 0},
        {"jump_factor": 1},
        {"frozen_steps": 1},
        {"maximum_k": float("inf")},
        {"maximum_kelvin": 340},
    ],
    ids=str,
)
def test_limits_that_make_no_sense_are_refused(content: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        QualityConfig.model_validate(content)
