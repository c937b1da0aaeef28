import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lsntp.config import load_domain
from lsntp.errors import ModelError, StorageError
from lsntp.training import champion as champions
from lsntp.training.champion import (
    champion_of,
    champion_path,
    find_version,
    open_champion,
    promote,
    rollback,
)
from lsntp.training.contents import RIDGE
from lsntp.training.decisions import decisions_of
from lsntp.workspace import Workspace
from tests.lsntp.training.made_versions import biased, gate_domain, truth

PROCESS = Path(__file__).with_name("champion_process.py")


@pytest.fixture
def domain(make_domain, tmp_path, monkeypatch):
    monkeypatch.delenv("LSNTP_ROOT", raising=False)
    return gate_domain(make_domain, tmp_path / "root")


@pytest.fixture
def versions(domain):
    return [biased(domain, bias, bias) for bias in (1.0, 2.0, 3.0)]


def force(domain, version, reason="because"):
    return promote(domain, version, by="anna", reason=reason)


def test_before_the_first_promotion_there_is_no_champion(domain):
    assert champion_of(domain) is None
    assert open_champion(domain) is None


def test_a_promotion_records_who_when_and_why_and_who_was_before(domain, versions):
    force(domain, versions[0], "the only one")
    force(domain, versions[1], "  better  ")
    champion = champion_of(domain)
    assert (champion.version, champion.by, champion.reason) == (versions[1], "anna", "better")
    assert champion.action == "forced"
    (before,) = champion.history
    assert (before.version, before.reason) == (versions[0], "the only one")
    assert before.since <= champion.since
    assert open_champion(domain).version == versions[1]


def test_promoting_the_champion_changes_nothing(domain, versions):
    force(domain, versions[0])
    before = champion_path(domain).read_bytes()
    force(domain, versions[0], "again")
    assert champion_path(domain).read_bytes() == before


def test_the_history_is_bounded(domain, versions, monkeypatch):
    monkeypatch.setattr(champions, "HISTORY", 3)
    for number in range(6):
        force(domain, versions[number % 2], str(number))
    assert [reign.reason for reign in champion_of(domain).history] == ["4", "3", "2"]


def test_a_champion_must_be_able_to_forecast_even_when_forced(domain, versions):
    force(domain, versions[0])
    broken = biased(domain, tensors={RIDGE: np.full((2, 30), np.nan)})
    with pytest.raises(ModelError, match="not finite"):
        force(domain, broken)
    with pytest.raises(ModelError, match="Expected one of the model versions"):
        force(domain, "ridge-0123456789ab")
    assert champion_of(domain).version == versions[0]


def test_a_promotion_needs_a_reason(domain, versions):
    with pytest.raises(ModelError, match="say --why"):
        force(domain, versions[0], " ")


# --- back ------------------------------------------------------------------------------------


def test_rolling_back_twice_goes_back_twice(domain, versions):
    for version in versions:
        force(domain, version)
    for expected in (versions[1], versions[0]):
        champion = rollback(domain, by="anna", reason="worse")
        assert (champion.version, champion.action) == (expected, "rolled back")
    with pytest.raises(ModelError, match="Expected an earlier champion"):
        rollback(domain, by="anna", reason="worse")
    assert champion_of(domain).version == versions[0]


def test_after_a_rollback_a_promotion_is_rolled_back_to_what_stood_before_it(domain, versions):
    force(domain, versions[0])
    force(domain, versions[1])
    rollback(domain, by="anna", reason="worse")
    force(domain, versions[2])
    assert rollback(domain, by="anna", reason="worse").version == versions[0]


def test_a_rollback_to_a_named_champion(domain, versions):
    for version in versions:
        force(domain, version)
    assert rollback(domain, by="a", reason="b", version=versions[0]).version == versions[0]


def test_a_rollback_to_one_that_never_was_champion_is_refused(domain, versions):
    force(domain, versions[0])
    force(domain, versions[1])
    with pytest.raises(ModelError, match=rf"\({versions[0]}\), found {versions[2]}"):
        rollback(domain, by="anna", reason="worse", version=versions[2])
    assert champion_of(domain).version == versions[1]


def test_without_a_champion_there_is_nothing_to_roll_back(domain):
    with pytest.raises(ModelError, match="there is none"):
        rollback(domain, by="anna", reason="worse")


# --- damage ----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b'{"version": "ridge', b"[]", b"\xff\xfe"])
def test_a_damaged_file_says_what_to_do_and_force_mends_it_keeping_it(domain, versions, content):
    force(domain, versions[0])
    path = champion_path(domain)
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"lsntp models promote small VERSION --force --why TEXT"):
        champion_of(domain)
    force(domain, versions[1])
    assert champion_of(domain).version == versions[1]
    (kept,) = path.parent.glob("champion.damaged-*.json")
    assert kept.read_bytes() == content


def test_a_champion_whose_folder_is_gone_names_the_way_back(domain, versions):
    force(domain, versions[0])
    force(domain, versions[1])
    (Workspace.of(domain).models / versions[1] / "provenance.json").unlink()
    with pytest.raises(ModelError, match="lsntp models rollback small"):
        open_champion(domain)
    assert rollback(domain, by="anna", reason="gone").version == versions[0]


def test_a_storage_that_refuses_leaves_the_champion(domain, versions, monkeypatch):
    force(domain, versions[0])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lsntp.durable.write_through", full)
    with pytest.raises(StorageError, match="No space left"):
        force(domain, versions[1])
    assert champion_of(domain).version == versions[0]


# --- kills and races -------------------------------------------------------------------------


@pytest.fixture
def start(domain, tmp_path):
    """``start(role, version)``: a process that waits for a line, then promotes."""
    file = tmp_path / "small.yaml"
    file.write_text(domain.to_yaml())
    load_domain(file)
    running = []

    def begin(role, version):
        process = subprocess.Popen(
            [sys.executable, PROCESS, file, role, version],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def test_a_promotion_killed_at_any_instant_leaves_the_old_champion_or_the_new(
    domain, versions, start
):
    force(domain, versions[0])
    roles = {"die-writing": versions[0], "die-renaming": versions[0], "die-renamed": versions[1]}
    processes = {role: start(role, versions[1]) for role in roles}
    for role, expected in roles.items():
        processes[role].communicate("go\n", timeout=120)
        assert processes[role].returncode == -9
        assert champion_of(domain).version == expected, role
    force(domain, versions[2])  # neither lock nor half a file is in the way
    assert champion_of(domain).version == versions[2]
    assert [reign.version for reign in champion_of(domain).history] == versions[1::-1]


def test_concurrent_promotions_take_turns_and_none_is_lost(domain, versions, start):
    force(domain, versions[0])
    processes = [start("promote", version) for version in versions[1:]]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    champion = champion_of(domain)
    reigns = [champion, *champion.history]
    assert {reign.version for reign in reigns[:2]} == set(versions[1:])
    assert {reign.by for reign in reigns[:2]} == {str(process.pid) for process in processes}
    assert reigns[2].version == versions[0]


def test_concurrent_offers_end_with_the_best_whoever_comes_first(domain, start, publish):
    publish(domain, truth(domain))
    bar, good, best = (biased(domain, bias, bias) for bias in (1.0, 0.6, 0.3))
    force(domain, bar)
    processes = [start("offer", version) for version in (good, best)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert champion_of(domain).version == best
    # the other one was champion for a while, or was kept: against the best in the second case
    (decision,) = decisions_of(domain, good)
    expected = {"promoted": bar, "kept": best}
    assert decision.champion == expected[decision.verdict]


# --- names -----------------------------------------------------------------------------------


def test_a_version_is_found_by_name_beginning_model_or_as_champion(domain, versions):
    force(domain, versions[1])
    newer = biased(domain, 4.0, 4.0, repeat=1)
    assert find_version(domain, versions[0]) == versions[0]
    assert find_version(domain, versions[2][:-2]) == versions[2]
    assert find_version(domain, "ridge") == newer
    assert find_version(domain, "champion") == versions[1]
    for text in ("ridge-", "lsntp", "../ridge"):
        with pytest.raises(ModelError, match="lsntp models list small"):
            find_version(domain, text)
