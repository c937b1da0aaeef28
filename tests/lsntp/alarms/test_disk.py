import shutil
from collections import namedtuple

import pytest

from lsntp.alarms.disk import disk_space
from lsntp.alarms.finding import Level

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("free", "level"),
    [(10e9, Level.GREEN), (9.99e9, Level.YELLOW), (2e9, Level.YELLOW), (1.99e9, Level.RED)],
)
def test_little_room_is_an_alarm(make_domain, tmp_path, monkeypatch, free, level):
    asked = []
    monkeypatch.setattr(shutil, "disk_usage", lambda at: asked.append(at) or Usage(1e12, 0, free))
    found = disk_space(make_domain(tmp_path / "not" / "there" / "yet"))
    assert found.level is level
    assert asked == [tmp_path]
    assert found.where == str(tmp_path / "not" / "there" / "yet")


def test_the_real_disk_is_asked(make_domain, tmp_path):
    domain = make_domain(tmp_path, alarms={"disk_low_gb": 1e9, "disk_min_gb": 1e-9})
    free = shutil.disk_usage(tmp_path).free / 1e9
    found = disk_space(domain)
    assert found.level is Level.YELLOW
    assert float(found.found.split()[0]) == pytest.approx(free, abs=1)
