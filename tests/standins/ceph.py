"""The far side of S3 that checks signatures and policies: Ceph's radosgw over a socket.

One monitor, one OSD that keeps objects in memory, one gateway, all on the loopback. The Debian
packages ``radosgw ceph-mon ceph-osd ceph-common`` have to be there.
"""

import json
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx

PROGRAMS = ("ceph-mon", "ceph-osd", "ceph", "monmaptool", "radosgw", "radosgw-admin")
START_S = 180
_CONFIGURATION = """
[global]
fsid = {fsid}
mon host = [v1:127.0.0.1:{port}]
auth cluster required = none
auth service required = none
auth client required = none
ms bind msgr2 = false
mon data = {folder}/mon
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 1073741824
osd class load list = *
osd class default list = *
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
mon allow pool size one = true
mon max pg per osd = 1000
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{gateway}
"""


def absent_programs() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name) is None]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Ceph:
    """A running gateway."""

    url: str
    configuration: Path

    def ask(self, *command: str) -> str:
        program, *rest = command
        return subprocess.run(
            [program, "-c", str(self.configuration), *rest],
            check=True,
            capture_output=True,
            text=True,
            timeout=START_S,
        ).stdout

    def add_user(self, name: str) -> dict[str, str]:
        """A user of that name; its credentials as boto3 takes them."""
        said = self.ask(
            "radosgw-admin", "user", "create", f"--uid={name}", f"--display-name={name}"
        )
        (key,) = json.loads(said[said.index("{") :])["keys"]
        return {"aws_access_key_id": key["access_key"], "aws_secret_access_key": key["secret_key"]}

    def client(self, credentials: dict[str, str]) -> Any:
        return boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", **credentials)

    def has_storage(self) -> bool:
        """Whether there is where to write."""
        with suppress(subprocess.CalledProcessError):
            return bool(json.loads(self.ask("ceph", "osd", "stat", "-f", "json"))["num_up_osds"])
        return False

    def answers(self) -> bool:
        """Before it does, the pools that its administration needs may not be there."""
        with suppress(httpx.TransportError):
            httpx.get(self.url, timeout=10)
            return True
        return False


@contextmanager
def running_ceph(folder: Path) -> Iterator[Ceph]:
    fsid, port, gateway = str(uuid.uuid4()), free_port(), free_port()
    configuration = folder / "ceph.conf"
    configuration.write_text(
        _CONFIGURATION.format(fsid=fsid, port=port, gateway=gateway, folder=folder)
    )
    for name in ("mon", "osd", "rgw"):
        (folder / name).mkdir()
    ceph = Ceph(f"http://127.0.0.1:{gateway}", configuration)
    monmap = str(folder / "monmap")
    ceph.ask(
        *("monmaptool", "--create", "--addv", "a", f"[v1:127.0.0.1:{port}]"),
        *("--fsid", fsid, monmap),
    )
    ceph.ask("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
    with ExitStack() as stack:
        stack.enter_context(_daemon(ceph, "ceph-mon", "-f", "-i", "a"))
        osd = str(uuid.uuid4())
        ceph.ask("ceph", "--connect-timeout", "120", "osd", "new", osd)
        ceph.ask("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", osd)
        _start(stack, ceph.has_storage, ceph, "ceph-osd", "-f", "-i", "0")
        _start(stack, ceph.answers, ceph, "radosgw", "-f", "-n", "client.rgw.a")
        yield ceph


def _start(
    stack: ExitStack, is_ready: Callable[[], bool], ceph: Ceph, program: str, *options: str
) -> None:
    """Start a daemon, again if it ends: it may ask before the monitor has greeted it, and is then
    told that it belongs to another cluster.
    """
    process = stack.enter_context(_daemon(ceph, program, *options))
    deadline = time.monotonic() + START_S
    while not is_ready():
        assert time.monotonic() < deadline, f"{program} is not ready after {START_S} s"
        if process.poll() is not None:
            process = stack.enter_context(_daemon(ceph, program, *options))
        time.sleep(0.5)


@contextmanager
def _daemon(ceph: Ceph, program: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [program, "-c", str(ceph.configuration), *options]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()
