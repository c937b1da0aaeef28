import math

from lsntp.report.scores import fixed, lead_table, rows_of, sentences, skill_text, with_true_minus


def test_rows_follow_the_ranking_and_the_reference_has_no_skill(make_data):
    table = make_data({"ridge": 0.6, "persistence": 1.0, "lsntp-increment": 0.7}).table
    rows = rows_of(table)
    assert [row.model for row in rows] == ["ridge", "lsntp-increment", "persistence"]
    assert rows[0].skill == "–"
    assert rows[1].skill == "\N{MINUS SIGN}0.167"  # 1 - 0.7 / 0.6
    assert rows[1].interval == "[\N{MINUS SIGN}0.207, \N{MINUS SIGN}0.137]"
    assert rows[0].main[0] == "0.600"


def test_hopeless_skill_is_an_arrow_at_the_edge(make_data):
    table = make_data({"ridge": 0.6, "climatology": 6.0}).table
    assert "<path" in rows_of(table)[1].forest
    assert "<circle" not in rows_of(table)[1].forest


def test_leads_are_listed_best_model_first(make_data):
    data = make_data({"ridge": 1.0, "persistence": 2.0})
    table = lead_table(data.table, "mae")
    assert table.columns == ["Model", "+1 h", "+2 h", "+3 h", "+4 h", "+5 h", "+6 h"]
    assert table.rows[0] == ["ridge", "0.550", "0.730", "0.910", "1.090", "1.270", "1.450"]


def test_numbers_carry_a_true_minus_and_nan_is_a_dash():
    assert fixed(-1.25, 1) == "\N{MINUS SIGN}1.2"
    assert fixed(0.5, 2, sign=True) == "+0.50"
    assert fixed(math.nan, 2) == skill_text(math.nan) == "–"


def test_hyphens_in_names_and_dates_stay():
    text = with_true_minus("lsntp-2 has skill -0.213, from 2019-03-01 to +0.1 (-3)")
    assert text == "lsntp-2 has skill −0.213, from 2019-03-01 to +0.1 (−3)"


def test_sentences_are_cut_after_full_stops_but_not_inside_numbers():
    assert sentences("ridge wins: 0.61 K. The network loses. No more.") == [
        "ridge wins: 0.61 K.",
        "The network loses.",
        "No more.",
    ]
