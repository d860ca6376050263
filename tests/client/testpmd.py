# SPDX-License-Identifier: BSD-3-Clause
"""DPDK's testpmd with two virtio-user ports: a guest's driver that nobody here wrote."""

import glob
import os
import re
import select
import subprocess
import time

from guest import die_with_parent, free_huge_pages, spare_cpus

MACS = ('02:00:00:00:00:00', '02:00:00:00:00:01')
PROMPT = 'testpmd> '
RING_SIZE = 1024
HUGE_PAGES_WANTED = 128
NO_HUGE_MIB = 256


class Pmd:
    """One process. Frames that it receives on a port it sends on the other one."""

    START_S = 300
    COMMAND_S = 120

    def __init__(self, folder, sockets, device, pairs, frame_bytes):
        self.prefix = f'ringway{os.getpid()}'
        cpu = spare_cpus()[0]
        # Not --in-memory: virtio-user would have to share more regions than the protocol has room
        # for. 512 bits allow the vectorized path for packed rings, which is off by default.
        command = [
            # The output must come at once, not when a buffer is full.
            'stdbuf', '-o0', 'dpdk-testpmd', '--lcores', f'0@{cpu},1@{cpu}', '--no-pci',
            '--no-telemetry',
            '--no-shconf', '--iova-mode=va', '--single-file-segments',
            f'--file-prefix={self.prefix}', '--force-max-simd-bitwidth=512',
            '--log-level=pmd.net.virtio.*:info']
        if free_huge_pages() < HUGE_PAGES_WANTED:
            command += ['--no-huge', '-m', str(NO_HUGE_MIB)]
        for port, path in enumerate(sockets):
            command += ['--vdev', f'net_virtio_user{port},path={path},mac={MACS[port]},'
                        f'queue_size={RING_SIZE},queues={pairs},{device}']
        command += [
            '--', '-i', '--nb-cores=1', '--total-num-mbufs=16384', f'--rxq={pairs}',
            f'--txq={pairs}', f'--rxd={RING_SIZE}', f'--txd={RING_SIZE}', '--forward-mode=mac',
            f'--eth-peer=0,{MACS[1]}', f'--eth-peer=1,{MACS[0]}', f'--txpkts={frame_bytes}',
            '--txonly-multi-flow']
        self.log = open(os.path.join(folder, 'testpmd.log'), 'wb')
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
        self.output = self.process.stdout.fileno()
        try:
            self.greeting = self.read_to_prompt(self.START_S)
        except BaseException:
            self.close()
            raise

    def read_to_prompt(self, timeout):
        text = ''
        deadline = time.monotonic() + timeout
        while not text.endswith('\n' + PROMPT):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.output], [], [], left)[0]:
                raise AssertionError(f'testpmd: no prompt after {timeout} s:\n{text}')
            data = os.read(self.output, 65536)
            if not data:
                raise AssertionError(f'testpmd ended with status {self.process.wait()}:\n{text}')
            self.log.write(data)
            self.log.flush()
            text += data.decode(errors='replace').replace('\r', '')
        return text

    def command(self, text):
        self.process.stdin.write(text.encode() + b'\n')
        self.process.stdin.flush()
        return self.read_to_prompt(self.COMMAND_S)

    def paths(self):
        """The receive and transmit functions that each port took: [(rx, tx), (rx, tx)]."""
        return [tuple(re.findall(rf'virtio: using (.*) {way} path on port {port}\n',
                                 self.greeting)[-1] for way in ('Rx', 'Tx'))
                for port in (0, 1)]

    def counters(self):
        """(received, sent, lost) of both ports, since the start. Lost is what testpmd gave up."""
        text = self.command('show port stats all')
        received, sent, missed, errors, no_mbuf = (
            [int(value) for value in re.findall(rf'{name}:\s+(\d+)', text)]
            for name in ('RX-packets', 'TX-packets', 'RX-missed', 'TX-errors', 'RX-nombuf'))
        assert len(received) == len(sent) == 2, text
        return received, sent, sum(missed + errors + no_mbuf)

    def dropped_by_forwarding(self, text):
        """What `stop` says was received and could not be sent again."""
        found = re.findall(r'TX-dropped:\s+(\d+)', text)
        assert found, text
        return sum(int(value) for value in found)

    def close(self):
        """Ends the process, by force when it does not end by itself; removes its files."""
        try:
            rest, _ = self.process.communicate(b'quit\n', timeout=self.COMMAND_S)
            self.log.write(rest)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
        finally:
            self.log.close()
            for path in glob.glob(f'/dev/hugepages/{self.prefix}map_*'):
                os.unlink(path)
