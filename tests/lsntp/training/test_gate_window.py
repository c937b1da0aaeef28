import numpy as np
import pytest

from lsntp.errors import ModelError
from lsntp.training import gate_window as windows
from lsntp.training.gate_window import (
    Duel,
    GateWindow,
    data_digest,
    duel,
    enter,
    gate_window,
    squared_errors,
)
from lsntp.training.history import open_analysis
from tests.lsntp.training.made_versions import biased, gate_domain, truth


@pytest.fixture
def domain(make_domain, publish, tmp_path):
    """Twelve days to compare on; see test_gate for the arithmetic of the window."""
    domain = gate_domain(make_domain, tmp_path / "root")
    publish(domain, truth(domain))
    return domain


def holed(make_domain, publish, root, first, last):
    """The window of a ridge where the analyses from step ``first`` to ``last`` never came."""
    domain = gate_domain(make_domain, root)
    fields = truth(domain)
    publish(domain, fields[:first])
    publish(domain, fields[last + 1 :], first=last + 1)
    ridge = enter(domain, biased(domain, 1.0, 1.0))
    window = gate_window(domain, open_analysis(domain), [ridge])
    return window, (window.init_times - domain.start) // domain.cadence


def test_a_missing_analysis_takes_its_initial_times_out(make_domain, publish, tmp_path):
    # steps 46 to 85 are the ten days; 64 is truth for 62 and 63, history for itself and the three
    # after it, and 24 h earlier for 68. The day that begins with 62 has none left.
    window, steps = holed(make_domain, publish, tmp_path, 64, 64)
    lost = [62, 63, 64, 65, 66, 67, 68]
    np.testing.assert_array_equal(steps, np.setdiff1d(np.arange(46, 86), lost))
    assert window.days == 10 - 1


def test_days_without_any_initial_time_do_not_count(make_domain, publish, tmp_path):
    # lost are 58 to 75: the days that begin with step 58, 62, 66 and 70, and half of the next
    window, steps = holed(make_domain, publish, tmp_path, 60, 71)
    np.testing.assert_array_equal(steps, np.setdiff1d(np.arange(46, 86), np.arange(58, 76)))
    assert window.days == 10 - 4
    assert window.is_long_enough


def test_initial_times_are_counted_in_whole_days_up_to_the_newest(domain):
    ridge = enter(domain, biased(domain, 1.0, 1.0))
    window = gate_window(domain, open_analysis(domain), [ridge])
    assert window.init_times.size == 10 * domain.steps_per_day
    days = window.block_times.astype("datetime64[D]")
    assert np.unique(days, return_counts=True)[1].tolist() == [domain.steps_per_day] * 10


def test_batches_change_nothing(domain, monkeypatch):
    ridge = enter(domain, biased(domain, 0.5, 2.0))
    analysis = open_analysis(domain)
    init_times = gate_window(domain, analysis, [ridge]).init_times
    whole = squared_errors(domain, analysis, ridge, init_times)
    assert whole == pytest.approx(np.tile([0.25, 4.0], (40, 1)), abs=1e-4)
    monkeypatch.setattr(windows, "BATCH", 7)
    np.testing.assert_array_equal(squared_errors(domain, analysis, ridge, init_times), whole)


def test_the_digest_names_the_analyses_that_were_compared_with(domain, publish):
    ridge = enter(domain, biased(domain, 1.0, 1.0))
    window = gate_window(domain, open_analysis(domain), [ridge])
    before = data_digest(domain, open_analysis(domain), window, [ridge])
    publish(domain, truth(domain, 23)[88:], first=88)
    assert data_digest(domain, open_analysis(domain), window, [ridge]) == before
    moved = gate_window(domain, open_analysis(domain), [ridge])
    assert data_digest(domain, open_analysis(domain), moved, [ridge]) != before


def test_a_duel_takes_the_days_there_are_and_says_so_when_there_are_none(domain):
    first, second = (enter(domain, biased(domain, bias, bias)) for bias in (1.0, 2.0))
    few = enter(domain, biased(domain, 3.0, 3.0, seen="2021-01-19"))
    found = duel(domain, open_analysis(domain), first, few)
    assert found.window.days == 2
    assert not found.window.is_long_enough
    assert np.isnan(found.difference(100).low)
    assert found.rmse == pytest.approx(np.array([[1.0, 1.0], [3.0, 3.0]]), abs=1e-4)
    everything = enter(domain, biased(domain, 3.0, 3.0, seen="2021-01-23"))
    with pytest.raises(ModelError, match=r"at least 6 whole days.*found none"):
        duel(domain, open_analysis(domain), second, everything)


def test_one_lead_has_its_own_difference(domain):
    first, second = (enter(domain, biased(domain, *bias)) for bias in ((1.0, 4.0), (1.5, 2.0)))
    found = duel(domain, open_analysis(domain), first, second)
    assert found.difference(100, lead=0).estimate == pytest.approx(-0.5, abs=1e-4)
    assert found.difference(100, lead=1).estimate == pytest.approx(2.0, abs=1e-4)
    assert found.difference(100).estimate == pytest.approx(0.75, abs=1e-4)


def test_a_duel_of_many_days_draws_three_together():
    start = np.datetime64("2021-01-01T06", "ns")
    times = start + np.arange(28 * 4) * np.timedelta64(6, "h")
    window = GateWindow(unseen_from=start, newest=times[-1], init_times=times, first=start)
    found = Duel(None, None, window, np.array([6]), np.ones((2, times.size, 1))).difference(100)
    assert (window.days, found.blocks) == (28, 10)  # nine of three days and the last one
