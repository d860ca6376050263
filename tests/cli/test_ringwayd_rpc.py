# SPDX-License-Identifier: BSD-3-Clause
"""The control socket under load: no client of it delays a front-end or takes much memory."""

import json
import socket

import front_end
from front_end import FrontEnd

ENTRIES = 3000
PAGE = 512  # PAGE_MAX of app/ringwayd/rpc_fdb.c
BATCH = 256


def resident(daemon):
    """KiB."""
    with open(f'/proc/{daemon.process.pid}/status', encoding='ascii') as status:
        line, = (line for line in status if line.startswith('VmRSS'))
    return int(line.split()[1])


def call(method, number, **params):
    return {'jsonrpc': '2.0', 'id': number, 'method': method, 'params': params}


class Client:
    def __init__(self, daemon):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(daemon.control)
        self.file = self.socket.makefile('rb')

    def put(self, request):
        self.socket.sendall(json.dumps(request).encode() + b'\n')

    def get(self):
        return json.loads(self.file.readline())


def fill(client, port):
    for start in range(0, ENTRIES, BATCH):
        client.put([call('fdb.add', i, port=port, mac=f'52:54:00:00:{i >> 8:02x}:{i & 255:02x}')
                    for i in range(start, min(start + BATCH, ENTRIES))])
        assert all(answer['result'] == {} for answer in client.get())


def test_a_batch_of_lists_delays_no_front_end_and_takes_little_memory(launch, place):
    daemon = launch(f'--socket-path={place}/vm1.sock')
    client = Client(daemon)
    fill(client, 'vm1')
    one = FrontEnd(f'{place}/vm1.sock')
    one.ask_u64(front_end.GET_FEATURES)
    before = resident(daemon)
    client.put([call('fdb.list', i, limit=4096) for i in range(BATCH)])
    # Nobody reads the answer, 12 MB: it is not made further.
    for _ in range(20):
        assert one.ask_u64(front_end.GET_FEATURES)
    assert daemon.cli('port', 'list').returncode == 0
    # 1 GB when the batch was answered at once. Sanitizers keep what was freed for a while.
    assert resident(daemon) - before < 30000
    answers = client.get()
    assert [answer['id'] for answer in answers] == list(range(BATCH))
    for answer in answers:
        assert len(answer['result']['entries']) <= PAGE
        assert answer['result']['entries_total'] == ENTRIES
    one.socket.close()
    assert daemon.stop() == 0


def test_pages_hold_every_entry_once(launch, place):
    daemon = launch(f'--socket-path={place}/vm1.sock')
    client = Client(daemon)
    fill(client, 'vm1')
    seen, cursor = [], 0
    while cursor is not None:
        client.put(call('fdb.list', 1, cursor=cursor))
        page = client.get()['result']
        assert len(page['entries']) <= PAGE
        seen += [entry['mac'] for entry in page['entries']]
        cursor = page['next']
    assert len(seen) == len(set(seen)) == ENTRIES
    lines = daemon.cli('fdb', 'list').stdout.splitlines()
    listed = [word for line in lines for word in line.split() if word.startswith('52:54:')]
    assert listed == sorted(seen)
    assert daemon.stop() == 0


def test_a_list_of_ports_is_whole(launch, place):
    names = [f'p{i:03d}' for i in range(100)]
    daemon = launch(*(f'--socket-path={place}/{name}.sock' for name in names))
    client = Client(daemon)
    client.put([call('port.list', 1), call('port.stats', 2), call('port.stats', 3, name='p007'),
                call('port.stats', 4, name='none')])
    ports, stats, only, none = client.get()
    assert [port['name'] for port in ports['result']] == names
    assert sorted(port['name'] for port in stats['result']) == names
    assert [port['name'] for port in only['result']] == ['p007']
    assert none['error']['message'] == 'there is no port "none"'
    assert daemon.stop() == 0
