"""Ceph's S3 gateway on loopback, out of Debian's packages and without installing them.

One monitor, one OSD in memory and one gateway: a production server that checks signatures. It
takes 60 MB of downloads and about ten seconds; `CephMissing` says why it cannot be had.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import uuid
from pathlib import Path
from urllib.request import urlopen

PACKAGES = """
ceph-mon ceph-osd radosgw ceph-common ceph-base
librados2 librbd1 librgw2 libradosstriper1 libcephfs2 liboath0 librabbitmq4 librdmacm1 libibverbs1
libnl-3-200 libnl-route-3-200 libfmt9 libgoogle-perftools4 libtcmalloc-minimal4 libleveldb1d
libsnappy1v5 liblua5.3-0 libboost-context1.74.0 libboost-thread1.74.0 libboost-iostreams1.74.0
libboost-program-options1.74.0 libaio1 libpmem1 libndctl6 libdaxctl1 libfuse2
python3-rados python3-ceph-argparse python3-ceph-common python3-prettytable python3-wcwidth
"""
SETTINGS = """
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{mon_port}
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc secure
public addr = 127.0.0.1
run dir = {run}
admin socket = {run}/$name.asok
log file = {run}/$name.log
pid file = {run}/$name.pid
keyring = {run}/keyring
crash dir = {run}
mon data = {run}/mon
mon cluster log file = {run}/cluster.log
mon tick interval = 1
mon allow pool size one = true
paxos propose interval = 0.05
paxos min wait = 0.01
erasure code dir = {libraries}/ceph/erasure-code
osd class dir = {libraries}/rados-classes
osd data = {run}/osd
osd objectstore = memstore
osd heartbeat interval = 1
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw data = {run}/rgw
rgw rados pool pg num min = 8
"""


class CephMissing(Exception):  # noqa: N818 - a reason to skip, not an error
    pass


class CephGateway:
    """The running gateway: `endpoint` and the one user's keys work until `close`."""

    def __init__(self, folder: Path, *, access_key: str, secret_key: str) -> None:
        self._root, self._run = folder / "root", folder / "run"
        self._daemons: list[subprocess.Popen[bytes]] = []
        for part in ("mon", "osd", "rgw"):
            (self._run / part).mkdir(parents=True)
        _unpack(folder / "packages", self._root)
        libraries = self._root / "usr/lib/x86_64-linux-gnu"
        paths = [libraries, libraries / "ceph", self._root / "lib/x86_64-linux-gnu"]
        self._environ = {
            "PATH": f"{self._root}/usr/bin:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": ":".join(map(str, paths)),
            "PYTHONPATH": f"{self._root}/usr/lib/python3/dist-packages",
            "CEPH_CONF": f"{self._run}/ceph.conf",
        }
        for program in ("ceph-mon", "ceph-osd", "radosgw"):
            needs = self._call("ldd", f"{self._root}/usr/bin/{program}")
            if missing := [line for line in needs.splitlines() if "not found" in line]:
                raise CephMissing(f"{program} needs libraries of other packages: {missing}")
        mon_port, port = _free_ports(2)
        self.endpoint = f"http://127.0.0.1:{port}"
        fsid = str(uuid.uuid4())
        settings = SETTINGS.format(
            fsid=fsid, mon_port=mon_port, port=port, run=self._run, libraries=libraries
        )
        (self._run / "ceph.conf").write_text(settings)
        try:
            self._start(fsid, mon_port, access_key, secret_key)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for daemon in reversed(self._daemons):
            daemon.kill()
            daemon.wait()

    def _start(self, fsid: str, mon_port: int, access_key: str, secret_key: str) -> None:
        run = self._run
        address = f"[v2:127.0.0.1:{mon_port}]"
        self._call("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, f"{run}/map")
        keyring = f"{run}/keyring"
        self._call("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.")
        self._call("ceph-mon", "--mkfs", "-i", "a", "--monmap", f"{run}/map", "--keyring", keyring)
        self._launch("ceph-mon", "-i", "a")
        osd = str(uuid.uuid4())
        self._call("/usr/bin/python3", f"{self._root}/usr/bin/ceph", "osd", "new", osd)
        self._call("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._launch("ceph-osd", "-i", "0")
        keys = (f"--access-key={access_key}", f"--secret-key={secret_key}")
        self._call("radosgw-admin", "user", "create", "--uid=u", "--display-name=u", *keys)
        self._launch("radosgw", "-n", "client.admin", "--log-file", f"{run}/rgw.log")
        deadline = time.monotonic() + 60
        while True:
            try:
                urlopen(self.endpoint, timeout=5).close()
            except OSError:
                assert time.monotonic() < deadline, (run / "rgw.log").read_text()[-2000:]
                time.sleep(0.1)
            else:
                return

    def _call(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self._environ, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
        return done.stdout

    def _launch(self, *command: str) -> None:
        with (self._run / f"{command[0]}.out").open("wb") as output:
            daemon = subprocess.Popen(
                [*command, "-f"], env=self._environ, stdout=output, stderr=subprocess.STDOUT
            )
        self._daemons.append(daemon)


def _unpack(packages: Path, root: Path) -> None:
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise CephMissing("this is no Debian: apt-get and dpkg are missing")
    packages.mkdir()
    got = subprocess.run(
        ["apt-get", "download", "-q", *PACKAGES.split()],
        cwd=packages,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if got.returncode:
        raise CephMissing(f"Ceph's packages cannot be downloaded: {got.stderr[-500:]}")
    for package in packages.iterdir():
        subprocess.run(["dpkg", "-x", package, root], check=True)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
