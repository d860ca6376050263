# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/bench measures: back-ends with two vhost-user sockets each, the loads, the floor."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

from guest import die_with_parent

RING_OPTIONS = {"split": "", "packed": "packed_vq=1"}
LOAD_CPU, WORKER_CPU = 0, 1
# What `sleep` waits for has no event: a program that prints nothing until it is told to stop.
CONNECT_S, SETTLE_S = 2, 1
START_S, END_S = 20, 20
# Frames of this size are TCP to be cut by the device: as large as an IPv4 packet can be.
TSO, TSO_BYTES = "tso", 65549
# Frames whose checksum is left to the back-end, and large ones of 45 full segments, for receivers
# that take neither; what is counted is segments. Beside them, plain frames as long as what results.
CSUM, CUT = "csum", "cut"
CONVERTED = {CSUM: {"sent": 1518, "plain": 1518, "pieces": 1},
             # From few buffers: 1024 would be 64 MiB, which no cache holds.
             CUT: {"sent": 65226, "plain": 1514, "pieces": 45, "words": ["--tx-ring-size=64"]}}
# Two ports with so many send from as many buffers as the floor (tests/perf/floor.c).
FEW_BUFFERS = 128
OVS_DAEMON = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
OVS_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


def fail(message):
    sys.exit(f"{os.path.basename(sys.argv[0])}: {message}")


def testpmd(prefix, arguments, log):
    """Start dpdk-testpmd with a pipe to its command line."""
    return subprocess.Popen(["dpdk-testpmd", "--no-pci", f"--file-prefix={prefix}", *arguments],
                            stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, text=True,
                            preexec_fn=die_with_parent)


def say(process, line):
    process.stdin.write(line + "\n")
    process.stdin.flush()


def finish(process, timeout=END_S):
    """Wait for a process that was told to end."""
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        fail(f"{process.args[0]} does not end")


def wait_until(condition, what):
    end = time.monotonic() + START_S
    while not condition():
        if time.monotonic() > end:
            fail(f"{what} after {START_S} s")
        time.sleep(0.05)


def wait_sockets(paths):
    wait_until(lambda: all(os.path.exists(p) for p in paths), f"no socket at {paths[0]}")


def remove_huge_pages(prefix):
    for leftover in pathlib.Path("/dev/hugepages").glob(f"{prefix}map_*"):
        leftover.unlink()


class BackEnd:
    """One is made for each measurement: in `directory`, with all that it is and leaves, and with
    segmentation offload where `tso` asks for it.

    The load runs between begin() and end(); stop() ends it and returns the worker's busy cycles per
    frame, or NaN where it cannot tell.
    """
    needs, package = "", ""
    # What the picture calls it.
    title = ""
    ports = 2
    # Whether it delivers frames as they were sent, and whether it takes segments.
    faithful, segments = True, True
    # Whether it converts, or is sent plain frames in place of those to be converted.
    converts, plain = False, False

    def __init__(self, directory, tso=False):
        self.tso = tso
        self.sockets = [f"{directory}/v{i}" for i in range(self.ports)]
        self.log_path = f"{directory}/log"

    def text(self):
        return pathlib.Path(self.log_path).read_text(encoding="utf-8", errors="replace")

    def begin(self):
        """From here on it counts."""

    def end(self):
        """To here."""

    def stop(self):
        return float("nan")


class Ringway(BackEnd):
    """ringwayd, counters and all checks on."""
    title = "ringwayd: learning switch, one copy"
    converts = True
    build = None
    options = ()

    def __init__(self, directory, tso=False):
        super().__init__(directory, tso)
        self.control = f"{directory}/ctl"
        self.log = open(self.log_path, "w", encoding="utf-8")
        self.process = subprocess.Popen(
            [self.build / "app" / "ringwayd", f"--cpus={WORKER_CPU}", f"--control={self.control}",
             *self.options, *self.port_options()], stderr=self.log, preexec_fn=die_with_parent)
        wait_sockets(self.sockets + [self.control])
        self.before = self.after = None

    def port_options(self):
        return [f"--socket-path={s}" for s in self.sockets]

    def worker(self):
        out = subprocess.run([self.build / "app" / "ringway", "-s", self.control, "worker", "list",
                              "--json"], check=True, capture_output=True, text=True).stdout
        return json.loads(out)[0]

    def begin(self):
        self.before = self.worker()

    def end(self):
        self.after = self.worker()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        finish(self.process)
        self.log.close()
        frames = self.after["frames"] - self.before["frames"]
        return (self.after["busy_cycles"] - self.before["busy_cycles"]) / max(frames, 1)


class Plain(Ringway):
    """ringwayd that has nothing to convert."""
    title = "ringwayd, plain frames"
    plain = True


def other_build(title, build):
    """ringwayd of another build: what a change is measured beside."""
    return type(title, (Ringway,), {"title": title, "build": build})


class Testpmd(BackEnd):
    """DPDK's testpmd with its vhost PMD, from port to port."""
    title = "testpmd io: no switching, two copies"
    needs, package = "dpdk-testpmd", "dpdk"
    mode = "io"
    offload = ""

    def __init__(self, directory, tso=False):
        super().__init__(directory, tso)
        self.log = open(self.log_path, "w", encoding="utf-8")
        self.process = testpmd(
            f"benchbe{os.getpid()}",
            ["--lcores", f"0@{LOAD_CPU},1@{WORKER_CPU}", "--in-memory",
             *(f"--vdev={device}" for device in self.devices()), "--", "-i", "--auto-start",
             f"--forward-mode={self.mode}", "--record-core-cycles"],
            self.log)
        wait_sockets(self.sockets)

    def devices(self):
        # Without the old flags a frame leaves without the segmentation header it came with.
        offload = ",tso=1,legacy-ol-flags=1" if self.tso else self.offload
        return [f"net_vhost{i},iface={s}{offload}" for i, s in enumerate(self.sockets)]

    def end(self):
        say(self.process, "stop")

    def stop(self):
        say(self.process, "quit")
        finish(self.process)
        self.log.close()
        # It prints them when it stops.
        cycles = re.findall(r"CPU cycles/packet=([\d.]+)", self.text())
        return float(cycles[-1]) if cycles else float("nan")


class TestpmdMacswap(Testpmd):
    """The same, writing to each frame."""
    title = "testpmd macswap: two copies, swaps addresses"
    mode = "macswap"
    faithful = False


class TestpmdCsum(Testpmd):
    """Completes checksums, and cuts with rte_gso; the vhost PMD sums up what leaves it."""
    title = "testpmd csum, with rte_gso: two copies"
    mode = "csum"
    offload = ",tso=1"
    converts = True

    def __init__(self, directory, tso=False):
        super().__init__(directory, tso=False)
        # What a port offers is set while it stands still.
        say(self.process, "stop")
        for port in range(2):
            say(self.process, f"port stop {port}")
            for layer in "ip", "tcp":
                say(self.process, f"csum set {layer} hw {port}")
            say(self.process, f"csum mac-swap off {port}")
            if tso:
                say(self.process, f"set port {port} gso on")
        say(self.process, "set gso segsz 1514")
        say(self.process, "port start all")
        say(self.process, "start")


class Ovs(BackEnd):
    """Open vSwitch with DPDK: one bridge with the NORMAL action, that is a learning switch."""
    title = "OVS-DPDK: learning bridge, two copies"
    # Only ports that connect do, with userspace-tso-enable. Those of 3.1 do not receive 65549 bytes
    # (they want them in one buffer), and change the TCP checksum of 9014, which the load refuses.
    segments = False
    needs, package = OVS_DAEMON, "openvswitch-switch-dpdk"

    def __init__(self, directory, tso=False):
        super().__init__(directory, tso)
        self.prefix = f"benchovs{os.getpid()}"
        self.database = f"unix:{directory}/db.sock"
        self.environment = {**os.environ, **{
            f"OVS_{name}DIR": directory for name in ("RUN", "DB", "LOG", "SYSCONF")}}
        self.control = f"{directory}/ctl"
        self.run("ovsdb-tool", "create", f"{directory}/conf.db", OVS_SCHEMA)
        self.log = open(self.log_path, "w", encoding="utf-8")
        self.db = self.start("ovsdb-server", f"{directory}/conf.db",
                             f"--remote=p{self.database}", f"--unixctl={directory}/dbctl")
        wait_sockets([f"{directory}/db.sock"])
        self.vsctl("--no-wait", "init")
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".",
                   *(f"other_config:{setting}" for setting in (
                       "dpdk-init=true", f"pmd-cpu-mask={1 << WORKER_CPU:#x}",
                       f"dpdk-lcore-mask={1 << LOAD_CPU:#x}", "dpdk-socket-mem=512",
                       f"dpdk-extra=--no-pci --file-prefix={self.prefix}")))
        self.switch = self.start(OVS_DAEMON, self.database, f"--unixctl={self.control}")
        self.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        self.sockets = []
        for i in range(self.ports):
            self.vsctl("add-port", "br0", f"vh{i}", "--", "set", "Interface", f"vh{i}",
                       "type=dpdkvhostuser")
            self.sockets.append(f"{directory}/vh{i}")
        wait_sockets(self.sockets)
        self.cycles = float("nan")

    def start(self, *command):
        return subprocess.Popen(command, env=self.environment, stdout=self.log,
                                stderr=subprocess.STDOUT, preexec_fn=die_with_parent)

    def run(self, *command):
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True,
                              timeout=START_S, check=False)
        if done.returncode:
            fail(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def vsctl(self, *arguments):
        self.run("ovs-vsctl", f"--db={self.database}", *arguments)

    def appctl(self, command):
        return self.run("ovs-appctl", "-t", self.control, command)

    def begin(self):
        self.appctl("dpif-netdev/pmd-stats-clear")

    def end(self):
        found = re.findall(r"avg processing cycles per packet:\s*([\d.]+)",
                           self.appctl("dpif-netdev/pmd-stats-show"))
        self.cycles = float(found[0]) if found else float("nan")

    def stop(self):
        for process in self.switch, self.db:
            process.terminate()
            finish(process)
        self.log.close()
        remove_huge_pages(self.prefix)
        return self.cycles


def external(title, sockets):
    """A back-end that somebody else has started, with its worker on another CPU than the load."""
    class External(BackEnd):
        """Two sockets, and nothing else is known."""
        converts = True

        def __init__(self, directory, tso=False):
            super().__init__(directory, tso)
            self.sockets = sockets
            wait_sockets(sockets)
    External.title = title
    return External


class Floor:
    """No back-end, and measured in their place: one CPU copies each frame of another CPU once, and
    that is all it does (tests/perf/floor.c)."""
    needs, package = "", ""
    faithful, segments = True, False
    converts, plain = False, False

    @staticmethod
    def program():
        return Ringway.build / "tests" / "perf" / "floor"

    @classmethod
    def sample(cls, size, seconds):
        """As back-ends have them; its load counts no cycles."""
        done = subprocess.run([cls.program(), str(size), str(seconds), str(LOAD_CPU),
                               str(WORKER_CPU)], capture_output=True, text=True,
                              timeout=seconds + END_S, check=False)
        if done.returncode:
            fail(done.stderr.strip())
        found = json.loads(done.stdout)
        return found["frames_per_s"] / 1e6, found["busy_cycles_per_frame"], float("nan")


# How somebody else's is written.
SOCKETS = "SOCKET0:SOCKET1"
BACK_ENDS = {"ringway": Ringway, "plain": Plain, "testpmd-csum": TestpmdCsum,
             "testpmd": Testpmd, "testpmd-macswap": TestpmdMacswap, "ovs": Ovs,
             "floor": Floor}


def check_installed(kinds):
    for kind in kinds:
        if kind.needs and not shutil.which(kind.needs):
            fail(f"{kind.needs} is missing: apt-get install {kind.package}, "
                 "or leave it out (--peers)")


def virtio_user(back_end, size, ring, seconds, directory):
    """DPDK's guests. Frames circulate: port 0 -> back-end -> port 1 -> back-end -> port 0.

    Returns Mpps summed over both directions, and the load's own busy cycles per frame: where those
    come near the back-end's, the load is the limit.
    """
    return virtio_user_forward(
        back_end, ring, seconds, directory, ["--forward-mode=mac",
                                             "--eth-peer=0,02:00:00:00:00:01",
                                             "--eth-peer=1,02:00:00:00:00:00"],
        [f"set txpkts {size}", "start tx_first 8"])


def virtio_user_forward(back_end, ring, seconds, directory, words, begin):
    """DPDK's guests, which forward as `words` say and are set going by the lines of `begin`.

    Returns Mpps that all ports received, and the load's own busy cycles per frame.
    """
    log_path = f"{directory}/load.log"
    prefix = f"benchfe{os.getpid()}"
    with open(log_path, "w", encoding="utf-8") as log:
        load = testpmd(
            prefix,
            ["--lcores", f"0@{LOAD_CPU},1@{LOAD_CPU}", "--iova-mode=va", "--single-file-segments",
             *(f"--vdev=net_virtio_user{i},path={s},mac=02:00:00:00:00:0{i},queue_size=1024,"
               f"{RING_OPTIONS[ring]}" for i, s in enumerate(back_end.sockets)),
             "--", "-i", "--nb-cores=1", "--total-num-mbufs=16384", "--txd=1024", "--rxd=1024",
             "--record-core-cycles", *words], log)
        time.sleep(CONNECT_S)
        for line in begin:
            say(load, line)
        time.sleep(SETTLE_S)
        back_end.begin()
        say(load, "show port stats all")
        time.sleep(seconds)
        say(load, "show port stats all")
        time.sleep(0.2)
        back_end.end()
        say(load, "stop")
        say(load, "quit")
        finish(load)
    remove_huge_pages(prefix)
    text = pathlib.Path(log_path).read_text(encoding="utf-8", errors="replace")
    rates = re.findall(r"Rx-pps:\s+(\d+)", text)
    cycles = re.findall(r"CPU cycles/packet=([\d.]+)", text)
    if len(rates) < 2 * len(back_end.sockets) or not cycles:
        fail(f"the load did not run; its end: {text[-300:]}")
    return sum(map(int, rates[-len(back_end.sockets):])) / 1e6, float(cycles[0])


def ringway_bench(back_end, size, ring, seconds, directory, more=()):
    """The same with guests that do nothing but this, and look at what they receive."""
    del directory
    words = [*more]
    if size == TSO:
        words += ["--tso", f"--size={TSO_BYTES}"]
    elif size not in CONVERTED:
        words += [f"--size={size}"]
    elif back_end.plain:
        words += [f"--size={CONVERTED[size]['plain']}"]
    else:
        words += ["--tso", "--convert", f"--size={CONVERTED[size]['sent']}",
                  *CONVERTED[size].get("words", [])]
    return circulate(back_end, ring, seconds, words, lambda load: time.sleep(SETTLE_S / 2))


def circulate(back_end, ring, seconds, words, wait_warm):
    """Run ringway-bench with `words`; wait_warm(process) returns when it is about to count."""
    if ring == "packed":
        words = [*words, "--packed"]
    load = subprocess.Popen(
        [Ringway.build / "app" / "ringway-bench", "--json", "--quiet", f"--cpu={LOAD_CPU}",
         f"--seconds={seconds}", f"--warm-up={SETTLE_S}", *words, *back_end.sockets],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    wait_warm(load)
    back_end.begin()
    out, err = load.communicate(timeout=SETTLE_S + seconds + END_S)
    back_end.end()
    if load.returncode:
        fail(f"{back_end.title}: {err.strip()}")
    result = json.loads(out)["result"]
    # A frame is sent and received, which virtio-user counts as one.
    return result["frames_per_s"] / 1e6, 2 * result["own_cycles_per_frame"]


def ringway_bench_few(back_end, size, ring, seconds, directory):
    """Guests that send from few buffers, as real ones do that use first what they freed last."""
    return ringway_bench(back_end, size, ring, seconds, directory,
                         [f"--tx-ring-size={FEW_BUFFERS}"])


LOADS = {"virtio-user": virtio_user, "ringway-bench": ringway_bench,
         "ringway-bench-few": ringway_bench_few}
