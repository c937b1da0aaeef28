"""A scheduled training that is killed at work: the next one goes on from its checkpoint."""

import re
from pathlib import Path

import pytest

from lsntp.config import load_domain
from lsntp.ingest import ingest
from lsntp.training import train
from lsntp.training.versions import latest_version
from lsntp.workspace import Workspace
from tests.integration.services import Server, flow_process, made_domain, wait_for, worker_of
from tests.integration.services import run_lsntp as typed

pytestmark = pytest.mark.slow

NETWORK = """
networks:
  net:
    architecture: {name: convlstm, hidden: 8, kernel: 3}
    target: increment
    scaling: standard
    training: {epochs: 30, batch_size: 4, checkpoint_minutes: 0.01, seed: 1}
"""
ONLY = {"models": ["net"]}


def test_the_next_run_goes_on_and_ends_with_the_weights_of_an_undisturbed_one(
    server: Server, tmp_path: Path
) -> None:
    path, root = tmp_path / "trained.yaml", tmp_path / "root"
    path.write_text(made_domain("trained") + NETWORK)
    typed(server, "deploy", str(path), f"--set=root={root}")
    domain, alone = (
        load_domain(path, overrides={"root": str(one)}) for one in (root, tmp_path / "alone")
    )
    for one in (domain, alone):
        ingest(one)
    with worker_of(server.environment, tmp_path) as worker:
        run = server.trigger("train/trained", ONLY)
        wait_for(lambda: list(root.rglob("*.ckpt")), "a checkpoint")
        process = flow_process(worker, run)
        assert process is not None
        process.kill()
        assert server.finish(run)["state"]["type"] == "CRASHED"
        assert not list(Workspace.of(domain).models.glob("net-*"))
        again = server.trigger("train/trained", ONLY)
        server.complete(again, 400)
    begun = re.findall(r"train net: [^|]*\|[^|]*\| (\d+)/\d+ \[00:00<\?", worker.log.read_text())
    assert [int(step) > 0 for step in begun] == [False, True]
    assert "Going on after" in worker.log.read_text()
    train(alone, models=["net"])
    found, expected = (latest_version(Workspace.of(one).models, "net") for one in (domain, alone))
    assert found.version == expected.version
    assert found.provenance.tensors_sha256 == expected.provenance.tensors_sha256
