from dataclasses import replace

import numpy as np
import pytest

from lsntp.grid import Grid, regular_grid
from lsntp.report.curves import link_distances
from lsntp.report.data import Links
from lsntp.report.links import links_view, node_index, ring_distances
from lsntp.report.maps import Canvas

GRID = regular_grid(north=52.0, south=50.0, west=-2.0, east=1.0, spacing=1.0)


def links_on(grid, weights, cell=(1, 1)):
    return Links("net", "net-0123456789ab", (51.0, -1.0), cell, grid, weights)


def test_even_weights_are_one_everywhere_and_said_to_be_chance():
    links = links_on(GRID, np.full(GRID.shape, 1 / 12))
    distance, weight = link_distances(links)
    assert distance.size == 11
    np.testing.assert_allclose(weight, 1.0)
    assert "next to no long-range structure" in links_view(links, GRID, Canvas.of(GRID)).sentence


def test_the_distance_to_the_neighbour_in_the_south_is_one_degree():
    distance, _ = link_distances(links_on(GRID, np.full(GRID.shape, 1 / 12)))
    assert distance.min() < 80.0  # the neighbour in the west: 111 km x cos 51
    assert np.isclose(distance, 111.19, atol=0.1).sum() == 2


def test_a_strong_distant_link_is_named():
    weights = np.full(GRID.shape, 0.05)
    weights[0, 3] = 1 - 0.05 * 11
    sentence = links_view(links_on(GRID, weights), GRID, Canvas.of(GRID)).sentence
    assert "5.40 times an even share, 178 km away" in sentence  # 0.45 * 12 = 5.4
    assert "next to no" not in sentence


def test_drawing_leaves_the_weights_as_they_were():
    weights = np.full(GRID.shape, 1 / 12)
    links_view(links_on(GRID, weights), GRID, Canvas.of(GRID))
    assert np.isfinite(weights).all()


@pytest.mark.parametrize(
    ("cells", "first", "stride", "expected"),
    [
        (4, 0, 1, [0, 1, 2, 3]),
        (5, 1, 2, [0, 0, 0, 1, 1]),  # the middle ones of every 3 x 3
        (4, 0, 2, [0, 0, 1, 1]),
        (10, 0, 4, [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]),  # nodes at 0, 4 and 8
    ],
)
def test_every_cell_is_drawn_as_its_nearest_node(cells, first, stride, expected):
    gaussian = 50.0 - np.cumsum(np.linspace(1.9, 1.8, cells))  # not quite even
    assert node_index(gaussian, gaussian[first::stride]).tolist() == expected


def test_links_of_a_downsampled_network_cover_the_domain():
    nodes = Grid(GRID.latitude[1::2], GRID.longitude[1::2])  # as of a network that halves 3 x 4
    links = replace(links_on(nodes, np.array([[0.3, 0.7]])), cell=(0, 0))
    view = links_view(links, GRID, Canvas.of(GRID))
    assert "1.40 times" in view.sentence
    assert "51° N, 1° W" in view.sentence  # where the node stands, not the corner of its cells


@pytest.mark.parametrize(
    ("largest", "rings"),
    [(950.0, [200, 400, 600]), (7300.0, [1000, 2000, 3000]), (45.0, [10, 20, 30])],
)
def test_rings_are_round_and_inside(largest, rings):
    assert ring_distances(largest) == rings
