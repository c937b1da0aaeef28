"""Regions of a domain file: strict, and clear about what is wrong."""

import pytest

from lsntp.config import load_domain
from lsntp.errors import ConfigError


def domain_with(regions):
    return load_domain("demo", overrides={"regions": regions})


def test_boxes_and_surfaces_are_read_and_survive_being_written(tmp_path):
    regions = {
        "alps": {"north": 48, "south": 44, "west": 5, "east": 11},
        "coast": {"north": 50, "south": 46, "west": -5, "east": 0, "surface": "sea"},
        "land": "land",
    }
    domain = domain_with(regions)
    assert domain.regions["alps"].north == 48
    assert domain.regions["coast"].surface == "sea"
    assert domain.regions["land"].surface == "land"
    path = tmp_path / "again.yaml"
    path.write_text(domain.to_yaml())
    assert load_domain(path) == domain


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        ({"alps": {"north": 48, "south": 44, "west": 5, "east": 11, "top": 1}}, ["unknown", "top"]),
        ({"alps": {"north": 48, "south": 44, "west": 5}}, ["found no east"]),
        ({"alps": {}}, ["a box, or land, or sea"]),
        ({"alps": "forest"}, ["regions.alps", "'forest'", "land"]),
        ({"alps": {"north": 44, "south": 48, "west": 5, "east": 11}}, ["north > south"]),
        (
            {"chile": {"north": -20, "south": -50, "west": -76, "east": -66}},
            ["regions.chile", "at least one cell of the grid", "-50..-20 N"],
        ),
        (
            {"sea": {"north": 48, "south": 44, "west": 5, "east": 11}},
            ["regions.sea", "always there"],
        ),
        ({"all": "land"}, ["regions.all", "always there"]),
        ({"The Alps": "land"}, ["The Alps"]),
    ],
)
def test_what_is_wrong_is_named(regions, expected):
    with pytest.raises(ConfigError) as caught:
        domain_with(regions)
    for part in expected:
        assert part in str(caught.value), part
