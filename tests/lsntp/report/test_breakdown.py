"""The page about skill: its numbers against the archives themselves, and by hand."""

import numpy as np
import pytest
import xarray as xr

from lsntp.evaluation.skill import skill_table
from lsntp.report.breakdown import Breakdown, collect_breakdown, render_skill
from lsntp.workspace import Workspace
from tests.lsntp.report.parsing import Page

MONTHS = np.array(["2019-01", "2019-02", "2019-03"], "datetime64[ns]")


def errors_of(domain, model, init_times):
    """Forecast minus analysis (n, K, H, W) and valid times (n, K), read as any user would."""
    workspace = Workspace.of(domain)
    with xr.open_zarr(workspace.forecast(model), chunks=None) as forecasts:
        fields = forecasts["t2m"].sel(init_time=init_times).values
        valid = init_times[:, None] + forecasts["lead_time"].values
    with xr.open_zarr(workspace.analysis, chunks=None) as analyses:
        truth = analyses["t2m"].sel(time=valid.ravel()).values.reshape(fields.shape)
    return fields.astype(np.float64) - truth, valid


@pytest.fixture(scope="module")
def found(scored):
    return collect_breakdown(scored, skill_table(scored))


def by_hand(domain, maes, months=MONTHS):
    """A breakdown in which every lead and part of a model has its MAE, K, by month."""
    models = list(maes)

    def parts(dim, labels, values):
        shape = (len(models), len(labels), 2)
        data = np.broadcast_to(np.asarray(values, float)[:, :, None], shape)
        return xr.Dataset(
            {
                "mae": (("model", dim, "lead_time"), data),
                "bias": (("model", dim, "lead_time"), -data / 2),
                "frames": ((dim, "lead_time"), np.full(shape[1:], 7)),
            },
            {"model": models, dim: labels},
        )

    hours = parts("valid_hour", [0.0, 6.0], [[value[0]] * 2 for value in maes.values()])
    regions = parts("region", ["all", "land"], [value[:2] for value in maes.values()])
    regions["area_share"] = ("region", [1.0, 0.42])
    return lambda table: Breakdown(
        table,
        {"valid_hour": hours, "init_hour": hours.rename(valid_hour="init_hour")},
        parts("month", months, [value[: len(months)] for value in maes.values()]),
        regions,
    )


def table_rows(page, caption):
    """The rows of one table of a page as lists of text."""
    start = page.index(caption)
    body = page[page.index("<tbody>", start) : page.index("</tbody>", start)]
    return [Page(row).text.split() for row in body.split("<tr>")[1:]]


def test_the_mae_by_hour_is_that_of_the_archives(scored, found):
    table = found.table
    rows = table_rows(render_skill(scored, found, ""), "MAE by valid hour")
    assert [row[0] for row in rows] == [str(hour) for hour in range(24)]
    for column, model in enumerate(table.models, start=3):
        errors, valid = errors_of(scored, model, table.init_times)
        absolute = np.abs(errors).mean(axis=(2, 3))
        hour = valid.astype("datetime64[h]").astype(int) % 24
        for row in rows:
            is_hour = hour == int(row[0])
            leads = [absolute[is_hour[:, lead], lead].mean() for lead in range(valid.shape[1])]
            assert float(row[column]) == pytest.approx(np.mean(leads), abs=6e-4)
            assert int(row[2]) == is_hour.sum()


def test_the_bias_of_the_domain_is_that_of_the_archives(scored, found):
    rows = {row[0]: row for row in table_rows(render_skill(scored, found, ""), "Bias by region")}
    for model in found.table.models:
        errors, _ = errors_of(scored, model, found.table.init_times)
        said = rows[model][1].replace("\N{MINUS SIGN}", "-")
        assert float(said) == pytest.approx(errors.mean(), abs=6e-4)


def test_months_are_compared_with_the_best_baseline(uk, make_data):
    maes = {"ridge": [0.5, 0.5, 0.4], "lsntp-increment": [0.6, 0.25, 0.4]}
    table = make_data({"ridge": 0.5, "lsntp-increment": 0.6}).table
    page = render_skill(uk, by_hand(uk, maes)(table), "")
    assert table_rows(page, "MAE by month") == [
        ["2019-01", "14", "0.500", "0.600"],
        ["2019-02", "14", "0.500", "0.250"],
        ["2019-03", "14", "0.400", "0.400"],
    ]
    assert table_rows(page, "Skill of MAE against ridge, by month") == [
        ["2019-01", "\N{MINUS SIGN}0.200"],
        ["2019-02", "+0.500"],
        ["2019-03", "+0.000"],
    ]
    assert table_rows(page, "Bias by region")[0] == [
        "ridge",
        "\N{MINUS SIGN}0.250",
        "\N{MINUS SIGN}0.250",
    ]
    assert "land (42 %)" in Page(page).text
    assert "line-by-month-ridge" in page


def test_two_months_are_read_from_the_table_alone(uk, make_data):
    maes = {"ridge": [0.5, 0.5], "lsntp-increment": [0.6, 0.25]}
    table = make_data({"ridge": 0.5, "lsntp-increment": 0.6}).table
    page = render_skill(uk, by_hand(uk, maes, MONTHS[:2])(table), "")
    assert "line-by-month" not in page
    assert len(table_rows(page, "MAE by month")) == 2


def test_without_a_baseline_there_is_no_skill_by_month(uk, make_data):
    table = make_data({"lsntp-increment": 0.6}).table
    page = render_skill(uk, by_hand(uk, {"lsntp-increment": [0.6, 0.6, 0.6]})(table), "")
    assert "Skill of MAE" not in page


def test_before_there_is_a_score_the_page_says_why(uk):
    page = Page(render_skill(uk, None, "Run lsntp evaluate era5-uk."))
    assert "Nothing to break down yet" in page.text
    assert "Run lsntp evaluate era5-uk." in page.text
