"""Error maps over chosen init_times, from stored months or from the fields themselves."""

import numpy as np

from lsntp.evaluation import maps
from lsntp.evaluation.maps import blocks_of, error_maps, valid_times
from lsntp.evaluation.scoring import evaluate
from lsntp.grid import regular_grid
from lsntp.times import hours

LEADS = np.array([hours(6), hours(12)])


def test_part_of_a_month_is_computed_and_a_whole_one_read(prepared, monkeypatch):
    prepared.forecast("ridge", prepared.times[40:50], lambda times: np.arange(10.0))
    evaluate(prepared.domain)
    computed = []
    original = maps._compute
    monkeypatch.setattr(
        maps, "_compute", lambda *arguments: computed.append(arguments) or original(*arguments)
    )
    # slots 40..47 start in January, 48 and 49 in February; errors 0..7 and 8, 9 K
    found = error_maps(prepared.domain, "ridge", prepared.times[44:50])
    assert [arguments[2].size for arguments in computed] == [4]
    assert found["map_count"].values.tolist() == [6, 6]
    np.testing.assert_allclose(found["map_error_sum"], 4 + 5 + 6 + 7 + 8 + 9, rtol=1e-4)
    np.testing.assert_allclose(found["map_squared_error_sum"], 271, rtol=1e-4)


def test_valid_times_are_named_once():
    init = np.datetime64("2024-01-01", "ns") + np.arange(3) * hours(6)
    times, where = valid_times(init, LEADS)
    assert times.size == 4
    assert (times[where] == init[:, None] + LEADS).all()


def test_blocks_cover_every_init_time_once():
    grid = regular_grid(north=80.0, south=-80.0, west=-170.0, east=170.0, spacing=0.25)
    init = np.datetime64("2024-01-01", "ns") + np.arange(7) * hours(6)
    blocks = list(blocks_of(init, LEADS, grid))
    assert len(blocks) == 7
    assert np.concatenate([np.arange(7)[block] for block in blocks]).tolist() == list(range(7))
