# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/bench --scale measures: ringwayd alone, with more and more to look after."""
import json
import socket
import tempfile

import bench_peers
from bench_peers import Ringway, fail

SIZE = 64
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


CASES = (Two, IdlePorts, Hosts)


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


def measure(case, ring, seconds):
    """A sample, as bench_report has them."""
    with tempfile.TemporaryDirectory(prefix="rwbench") as directory:
        switch = case(directory)
        rate, load_cycles = bench_peers.circulate(
            switch, ring, seconds, [f"--size={SIZE}", *case.words],
            lambda load: wait_warm(switch, load))
        return rate, switch.stop(), load_cycles
