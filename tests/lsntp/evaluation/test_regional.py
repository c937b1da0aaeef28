"""Scores in regions: masked reductions, with nothing read twice."""

import numpy as np
import pytest

from lsntp.errors import EvaluationError
from lsntp.evaluation import maps
from lsntp.evaluation.breakdown import region_scores
from lsntp.evaluation.regional import frame_losses
from lsntp.evaluation.regions import region_masks, region_shares
from lsntp.evaluation.selection import Contender
from lsntp.times import Period

# lsntp misses by 1 K in the western half, 3 K in the eastern one, twice that at the second lead.


def scores(world, **changes):
    settings = {
        "models": ["ridge", "lsntp"],
        "period": Period(world.times[40], world.times[54]),
        "regions": ["all", "west", "north-east"],
    }
    return region_scores(world.domain, **(settings | changes))


def test_scores_of_boxes_by_hand(stepped):
    found = scores(stepped)
    lsntp = found.sel(model="lsntp")
    np.testing.assert_allclose(lsntp["mae"], [[2, 4], [1, 2], [3, 6]], rtol=1e-4)
    np.testing.assert_allclose(lsntp["rmse_pooled"], [[5**0.5, 20**0.5], [1, 2], [3, 6]], rtol=1e-4)
    np.testing.assert_allclose(lsntp["rmse_per_cell"], [[2, 4], [1, 2], [3, 6]], rtol=1e-4)
    # ridge: 0 to 13 K everywhere, mean 6.5, mean square 819/14
    ridge = found.sel(model="ridge")
    np.testing.assert_allclose(ridge["mae"], 6.5, rtol=1e-4)
    np.testing.assert_allclose(ridge["rmse_per_cell"], np.sqrt(58.5), rtol=1e-4)
    assert found["cells"].values.tolist() == [64, 32, 16]
    assert found["frames"].item() == 14
    assert found["area_share"].values[:2] == pytest.approx([1.0, 0.5])


def test_whole_months_are_read_from_stored_maps_alone(stepped, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("forecasts were read again")

    monkeypatch.setattr(maps, "_compute", refuse)
    found = scores(stepped, by_month=True, period=Period(stepped.times[0], stepped.times[-1]))
    # January: 16 forecasts of 0.5 K and 0 to 7 K; February: 8 to 13 K
    ridge = found.sel(model="ridge", region="west")
    np.testing.assert_allclose(ridge["mae"], [[1.5] * 2, [10.5] * 2], rtol=1e-4)
    assert found["frames"].values.tolist() == [24, 6]


def test_part_of_a_month_equals_the_frames_of_that_part(stepped):
    found = scores(stepped, period=Period(stepped.times[42], stepped.times[45]))
    np.testing.assert_allclose(found.sel(model="ridge")["mae"], 3.0, rtol=1e-4)


def test_area_weights_count_the_south_more(prepared):
    from lsntp.evaluation.scoring import evaluate

    rows = np.where(np.arange(8) < 4, 1.0, 0.0)[:, None] * np.ones((1, 8))
    prepared.forecast(
        "ridge", prepared.times[40:44], lambda times: np.broadcast_to(rows, (times.size, 8, 8))
    )
    evaluate(prepared.domain)
    area = region_scores(prepared.domain, regions=["all"], weighting="area")
    # bands of latitude: the share of the northern four of the eight rows 57 … 50 N
    edges = np.sin(np.radians(np.arange(57.5, 49, -1)))
    share = (edges[0] - edges[4]) / (edges[0] - edges[8])
    np.testing.assert_allclose(area["mae"].squeeze(), share, rtol=1e-4)
    np.testing.assert_allclose(
        region_scores(prepared.domain, regions=["all"])["mae"].squeeze(), 0.5, rtol=1e-4
    )


def test_losses_of_frames_from_the_fields_agree_with_the_maps(stepped):
    masks = region_masks(stepped.domain, ["north-east"])
    absolute, squared = frame_losses(
        stepped.domain,
        [Contender("ridge"), Contender("lsntp")],
        stepped.times[40:54],
        region_shares(masks)[0],
    )
    np.testing.assert_allclose(absolute[0], np.arange(14)[:, None] * [1, 1], atol=1e-4)
    np.testing.assert_allclose(squared[1], [[9, 36]] * 14, rtol=1e-4)


def test_an_unknown_region_is_refused(stepped):
    with pytest.raises(EvaluationError, match=r"\(all, land, sea, west, north-east\), found alps"):
        scores(stepped, regions=["alps"])
