# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/bench --scale and --policies measure: ringwayd alone, with more to look after."""
import json
import socket
import tempfile

import bench_peers
from bench_peers import Ringway, fail

IDLE_PORTS = 62
HOSTS = 10 ** 6
# The limit that has room for them. The table has two places for each entry, since buckets fill
# unevenly; that none had to go is checked.
FDB_SIZE = 1 << 20
# Frames of the warm-up that are worth waiting for.
WARM_FRAMES = 10 ** 5


class Two(Ringway):
    """Two ports with one host each."""
    title = "two"
    words = ()
    hosts = 2


class IdlePorts(Ringway):
    """Further ports, whose guests have running rings and say nothing."""
    title = "idle ports"
    words = (f"--idle={IDLE_PORTS}",)
    ports = 2 + IDLE_PORTS
    hosts = 2


class Hosts(Ringway):
    """Each frame from the next host to any one, of very many."""
    title = "stations"
    words = (f"--macs={HOSTS // 2}", "--pattern=random")
    options = (f"--fdb-size={FDB_SIZE}",)
    hosts = HOSTS


class Policies(Ringway):
    """What a tenant's port has, on both: a VLAN, anti-spoofing, and limits that are not reached."""
    title = "policies"
    words = ()
    hosts = 2

    def port_options(self):
        return [f"--port=v{i},socket={path},vlan=10,macs=02:52:{i:02x}:00:00:00,"
                f"addresses=198.18.{i}.1,dhcp-server=off,router=off,storm-broadcast=1000fps,"
                "storm-multicast=1000fps,storm-unknown=1000fps,rate-rx=100Gbit,rate-tx=100Gbit"
                for i, path in enumerate(self.sockets)]


# By option: the cases, which all are beside the first, and frame sizes.
SUITES = {"scale": ((Two, IdlePorts, Hosts), [64]), "policies": ((Two, Policies), [64, 1518])}


def hosts_known(control):
    """The switch's own count: the list that `ringway` prints would take as long as all the rest."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(control)
        client.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "fdb.list", '
                       b'"params": {"limit": 1}}\n')
        with client.makefile(encoding="utf-8") as answers:
            return json.loads(answers.readline())["result"]["entries_total"]


def wait_warm(switch, load):
    """All hosts have spoken once, and frames circulate."""
    enough = switch.hosts + WARM_FRAMES
    bench_peers.wait_until(
        lambda: load.poll() is not None or switch.worker()["frames"] > enough,
        f"{switch.title}: no traffic")
    known = hosts_known(switch.control)
    # A load that has ended says why.
    if load.poll() is None and known != switch.hosts:
        fail(f"{switch.title}: ringwayd knows {known} of {switch.hosts} hosts")


def measure(case, size, ring, seconds):
    """A sample, as bench_report has them."""
    with tempfile.TemporaryDirectory(prefix="rwbench") as directory:
        switch = case(directory)
        rate, load_cycles = bench_peers.circulate(
            switch, ring, seconds, [f"--size={size}", *case.words],
            lambda load: wait_warm(switch, load))
        return rate, switch.stop(), load_cycles
