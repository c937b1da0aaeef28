"""Two models side by side: numbers by hand, plain words, versions, regions."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from lsntp.errors import EvaluationError, StorageError
from lsntp.evaluation.comparison import compare
from lsntp.evaluation.comparison_view import plot_comparison, render_comparison
from lsntp.evaluation.scoring import evaluate
from lsntp.times import Period

# Slots 24 to 53 are 26 January to 2 February: 8 days. ridge misses by 0.5 K before slot 40, then
# by 0, 1 … 13 K; persistence by 2 K; lsntp by 1 K west and 3 K east, twice that at lead two.


@pytest.fixture(scope="module")
def everything(stepped):
    return Period(stepped.times[24], stepped.times[54])


def text(table):
    console = Console(width=120, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def test_differences_by_hand(stepped, everything):
    found = compare(stepped.domain, "lsntp", "persistence", period=everything)
    assert [row.label for row in found.rows] == ["+6 h", "+12 h"]
    values = [(row.first, row.second, row.difference.estimate) for row in found.rows]
    np.testing.assert_allclose(values, [(2, 2, 0), (4, 2, 2)], atol=1e-4)
    assert found.overall.difference.estimate == pytest.approx(1.0, abs=1e-4)
    assert (found.overall.frames, found.rows[0].frames) == (60, 30)
    assert found.init_times.size == 30


def test_the_one_with_the_lower_error_is_said_to_be_better(stepped, everything):
    found = compare(stepped.domain, "lsntp", "persistence", period=everything)
    assert found.better == "persistence"
    assert "persistence is better than lsntp by 1.000 K [1.000, 1.000], MAE; 8 days." in (
        found.verdict
    )
    mirrored = compare(stepped.domain, "persistence", "lsntp", period=everything)
    assert mirrored.better == "persistence"
    assert mirrored.overall.difference.estimate == pytest.approx(-1.0, abs=1e-4)


def test_rmse_is_pooled_by_lead_then_averaged(stepped, everything):
    found = compare(stepped.domain, "lsntp", "ridge", metric="rmse", period=everything)
    # lsntp: mean squares 5 and 20; ridge: (16 · 0.25 + 819) / 30
    assert found.overall.first == pytest.approx((5**0.5 + 20**0.5) / 2, rel=1e-4)
    assert found.overall.second == pytest.approx((823 / 30) ** 0.5, rel=1e-4)


def test_a_difference_that_depends_on_the_day_is_not_told(stepped, everything):
    found = compare(stepped.domain, "ridge", "persistence", period=everything)
    # 0.5 K on four of the eight days, 1.5, 5.5, 9.5 and 12.5 on the others
    assert found.overall.difference.estimate == pytest.approx(99 / 30 - 2, abs=1e-3)
    assert found.better is None
    assert found.verdict.startswith("No test: ")
    assert "No difference can be told: persistence has the lower MAE by 1.300 K" in found.verdict
    assert "8 days" in found.verdict


def test_too_few_days_give_no_verdict(stepped):
    short = Period(stepped.times[40], stepped.times[54])
    found = compare(stepped.domain, "ridge", "persistence", period=short)
    assert found.overall.difference.estimate == pytest.approx(4.5, abs=1e-3)
    assert np.isnan(found.overall.difference.low)
    assert found.better is None
    assert "persistence has the lower MAE by 4.500 K, but 4 days are too few" in found.verdict
    assert "too few" in text(render_comparison(found))
    assert found.to_dict()["overall"]["low"] is None


def test_equal_models_are_said_to_be_equal(prepared):
    for model in ("ridge", "lsntp"):
        prepared.forecast(model, prepared.times[24:54], 1.0)
    evaluate(prepared.domain)
    everything = Period(prepared.times[24], prepared.times[54])
    found = compare(prepared.domain, "ridge", "lsntp", period=everything)
    assert found.better is None
    assert "ridge and lsntp have the same MAE; 8 days." in found.verdict


def test_by_hour_and_by_month(stepped, everything):
    hours = compare(stepped.domain, "ridge", "persistence", by="hour", period=everything)
    assert [row.label for row in hours.rows] == ["00 UTC", "06 UTC", "12 UTC", "18 UTC"]
    assert sum(row.frames for row in hours.rows) == 60
    months = compare(stepped.domain, "ridge", "persistence", by="month", period=everything)
    assert [row.label for row in months.rows] == ["2024-01", "2024-02"]
    # January: 16 · 0.5 + 0 + 1 + … + 7 over 24; February: 8 to 13
    np.testing.assert_allclose([row.first for row in months.rows], [1.5, 10.5], rtol=1e-3)
    assert [row.difference.blocks for row in months.rows] == [6, 2]
    assert [row.difference.is_testable for row in months.rows] == [True, False]


def test_in_a_region_the_frames_of_the_region_count(stepped, everything):
    found = compare(stepped.domain, "lsntp", "persistence", region="west", period=everything)
    # west: 1 and 2 K against 2 K
    assert found.overall.difference.estimate == pytest.approx(-0.5, abs=1e-3)
    assert found.better == "lsntp"
    assert "MAE in west" in found.verdict
    with pytest.raises(EvaluationError, match="found alps"):
        compare(stepped.domain, "lsntp", "persistence", region="alps", period=everything)


def test_the_region_of_all_cells_agrees_with_the_stored_sums(stepped, everything):
    world = {"north": 90, "south": -90, "west": -180, "east": 180}
    domain = stepped.domain.model_validate(
        stepped.domain.model_dump(mode="json") | {"regions": {"world": world}}
    )
    for weighting in ("plain", "area"):
        settings = {"period": everything, "metric": "rmse", "weighting": weighting}
        stored = compare(domain, "lsntp", "ridge", **settings).overall
        read = compare(domain, "lsntp", "ridge", region="world", **settings).overall
        assert read.first == pytest.approx(stored.first, rel=1e-6)
        assert read.difference.low == pytest.approx(stored.difference.low, rel=1e-6)


def test_a_version_is_compared_over_its_own_forecasts(stepped, everything):
    found = compare(stepped.domain, "lsntp@bbbb", "ridge", period=everything)
    assert found.init_times.size == 7
    assert found.versions["lsntp@bbbb"] == ("lsntp-bbbbbbbbbbbb",)
    whole = compare(stepped.domain, "lsntp@lsntp-aaaaaaaaaaaa", "ridge", period=everything)
    assert whole.init_times.size == 23


def test_two_versions_without_common_forecasts_say_what_cannot_be_compared(stepped, everything):
    with pytest.raises(EvaluationError) as caught:
        compare(stepped.domain, "lsntp@aaaa", "lsntp@bbbb", period=everything)
    for part in (
        "both versions have forecast, found none",
        "archive of a model keeps one forecast for each initial time",
        "lsntp@aaaa from 2024-01-26T00:00Z to 2024-01-31T12:00Z",
        "`lsntp forecast ",
        " --model VERSION --model VERSION`",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("ridge", "ridge"), "two different models"),
        (("ridge", "guess"), r"persistence, climatology, ridge, lsntp.*found guess"),
        (("ridge", "lsntp@cccc"), r"lsntp-aaaaaaaaaaaa, lsntp-bbbbbbbbbbbb.*none of that name"),
        (("ridge", "lsntp@lsntp-"), "several of that beginning"),
        (("ridge", "lsntp@"), "MODEL or MODEL@VERSION"),
    ],
)
def test_contenders_that_are_none_are_refused_with_those_there_are(stepped, pair, message):
    with pytest.raises(EvaluationError, match=message):
        compare(stepped.domain, *pair)


def test_it_is_json_without_nan(stepped, everything):
    content = compare(stepped.domain, "ridge", "persistence", by="month", period=everything)
    found = json.loads(json.dumps(content.to_dict(), allow_nan=False))
    assert found["rows"][1]["low"] is None
    assert found["seen"] > 0
    assert found["better"] is None


def test_the_table_has_a_row_a_lead_and_the_mean(stepped, everything):
    shown = text(render_comparison(compare(stepped.domain, "lsntp", "ridge", period=everything)))
    for part in ("+6 h", "+12 h", "mean of leads", "lsntp", "ridge", "95 % interval", "days"):
        assert part in shown


def test_the_plot_is_written_in_the_format_its_name_asks_for(stepped, everything, tmp_path):
    found = compare(stepped.domain, "lsntp", "ridge", by="hour", period=everything)
    plot_comparison(found, tmp_path / "hours.png")
    assert (tmp_path / "hours.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(EvaluationError, match="png"):
        plot_comparison(found, tmp_path / "hours.txt")
    with pytest.raises(StorageError):
        plot_comparison(found, tmp_path / "no" / "such" / "folder.png")


def test_a_full_disk_keeps_the_older_plot(stepped, everything, tmp_path, small_files):
    found = compare(stepped.domain, "lsntp", "ridge", by="hour", period=everything)
    (tmp_path / "hours.png").write_bytes(b"older")
    small_files(1000)
    with pytest.raises(StorageError, match="File too large"):
        plot_comparison(found, tmp_path / "hours.png")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [
        ("hours.png", b"older")
    ]
