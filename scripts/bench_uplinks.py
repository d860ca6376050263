# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/bench --uplinks measures: a guest's frames to an uplink and back.

The guest is DPDK's virtio-user, which sends back what it receives. With net_ring 256 frames
circulate: the device gives what it was sent back. net_null sends frames without end, as fast as it
is polled, and takes those that the guest sends back. Either way the address that a frame comes from
is at both ports in turn: ringwayd does not learn there and floods, OVS has a flow for each port in
place of a table.
"""
import tempfile

import bench_peers

DEVICES = {"null": "net_null0,size={size}", "ring": "net_ring0"}
SIZES = [64, 1518]


class Ringway(bench_peers.Ringway):
    """Switches between the two ports."""
    title = "ringwayd: floods, one copy each way"
    ports, device = 1, ""

    def port_options(self):
        return ["--port", f"v0,socket={self.sockets[0]},learning=off",
                "--port", f"up,device={self.device},learning=off"]


class Testpmd(bench_peers.Testpmd):
    """From port to port."""
    title = "testpmd io: no switching, one copy each way"
    ports, device = 1, ""

    def devices(self):
        return [*super().devices(), self.device]


class Ovs(bench_peers.Ovs):
    """A bridge with a flow for each port."""
    title = "OVS-DPDK: two flows, one copy each way"
    ports, device = 1, ""

    def __init__(self, directory, tso=False):
        super().__init__(directory, tso)
        # Its two threads have a tx queue each, and what goes to one of net_ring's comes back to the
        # rx queue of that number.
        queues = 2 if "ring" in self.device else 1
        self.vsctl("add-port", "br0", "up", "--", "set", "Interface", "up", "type=dpdk",
                   f"options:dpdk-devargs={self.device}", f"options:n_rxq={queues}")
        for flow in "in_port=vh0,actions=output:up", "in_port=up,actions=output:vh0":
            self.run("ovs-ofctl", "add-flow", f"{directory}/br0.mgmt", f"priority=1000,{flow}")


SOCKETS = "SOCKET"
BACK_ENDS = {"ringway": Ringway, "testpmd": Testpmd, "ovs": Ovs}


def other_build(title, build):
    """ringwayd of another build."""
    return type(title, (Ringway,), {"title": title, "build": build})


def measure(kind, row, seconds):
    """A sample, as bench_report has them. row: size, ring format and device."""
    size, ring, device = row
    with tempfile.TemporaryDirectory(prefix="rwbench") as directory:
        # One that runs already has its device.
        of = type(kind.__name__, (kind,), {"device": DEVICES[device].format(size=size)})
        back_end = of(directory)
        begin = {"null": ["start"], "ring": [f"set txpkts {size}", "start tx_first 8"]}[device]
        rate, load_cycles = bench_peers.virtio_user_forward(
            back_end, ring, seconds, directory, ["--forward-mode=io", "--port-topology=loop"],
            begin)
        return rate, back_end.stop(), load_cycles
