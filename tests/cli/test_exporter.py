# SPDX-License-Identifier: BSD-3-Clause
"""ringway-exporter: what it serves of a running switch, checked with Prometheus itself."""

import json
import os
import re
import socket
import subprocess
import time

import pytest

from exporter import EXPORTER, OPENMETRICS, PROMETHEUS, Exporter, key, parsed
from front_end import ACCESS_PLATFORM, PF_BACKEND_REQ, FrontEnd
from programs import NOBODY, RINGWAY_BENCH, ROOT, Daemon, run, the_line

WAIT_S = 60


@pytest.fixture(name='export')
def fixture_export(place):
    """export(control, words...) is an Exporter; none outlives the test."""
    started = []

    def start(control, *words):
        started.append(Exporter(place, control, *words))
        return started[-1]

    yield start
    for exporter in started:
        exporter.kill()


def promtool(text):
    done = subprocess.run(['promtool', 'check', 'metrics'], input=text, text=True,
                          capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, '')


def wait_until(true):
    deadline = time.monotonic() + WAIT_S
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def families():
    """{name: labels} of --list-metrics."""
    rows = re.findall(r'^\| `(\w+)` \| (\w+) \| ([^|]+) \| [^|]+ \|$',
                      run(EXPORTER, '--list-metrics').stdout, flags=re.M)
    return {name: set() if labels == '-' else set(labels.split(', ')) for name, _, labels in rows}


@pytest.fixture(name='daemon')
def fixture_daemon(launch, place):
    return launch(f'--socket-path={place}/vm1.sock', f'--socket-path={place}/vm2.sock',
                  '--port', f'vm4,socket={place}/vm4.sock,vlan=10',
                  '--port', f'vm3,socket={place}/vm3.sock,trunk=10+20-22,native=1',
                  '--port', 'up0,device=net_null0,no-rx=1')


def ask(daemon, *words):
    return json.loads(daemon.cli(*words, '--json').stdout)


def test_what_is_served_is_what_the_switch_says(daemon, export, place):
    exporter = export(daemon.control)
    front_end = FrontEnd(f'{place}/vm1.sock')
    front_end.negotiate(ACCESS_PLATFORM, protocol=(PF_BACKEND_REQ,))
    front_end.share_memory()
    channel = front_end.open_channel()
    front_end.map_iova(0, 0x1000, 0x7f0000000000)
    front_end.map_iova(0x2000, 0x1000, 0x7f0000002000)
    wait_until(lambda: exporter.samples().get(
        key('ringway_port_budget_used', port='vm1', budget='iotlb')) == 2)
    samples = exporter.samples()
    for port in ask(daemon, 'port', 'list'):
        assert samples[key('ringway_port_link', port=port['name'])] == port['link']
        assert samples[key('ringway_port_connected', port=port['name'])] == port['connected']
    for port in ask(daemon, 'port', 'stats'):
        for side in 'rx', 'tx':
            for counter in 'frames', 'bytes':
                assert samples[key(f'ringway_port_{counter}_total', port=port['name'],
                                   direction=side)] == port[side][counter]
    fdb = samples[key('ringway_fdb_entries')]
    assert fdb == len(ask(daemon, 'fdb', 'list'))
    members = {20: 1, 21: 1, 22: 1, 10: 2, 1: 1}
    for vlan, ports in members.items():
        assert samples[key('ringway_vlan_ports', bridge='default', tpid='8021q',
                           vlan=str(vlan))] == ports
    assert samples[key('ringway_bridge_ports', bridge='default')] == 5
    channel.close()
    front_end.socket.close()


def test_prometheus_finds_no_fault_in_the_text(daemon, export):
    exporter = export(daemon.control)
    head, text = exporter.get('/metrics')
    assert head['Content-Type'] == PROMETHEUS
    promtool(text)
    head, exact = exporter.get('/metrics', Accept='application/openmetrics-text;version=1.0.0')
    assert head['Content-Type'] == OPENMETRICS
    assert exact.endswith('\n# EOF\n')
    assert parsed(text).keys() == parsed(exact).keys()
    head, nothing = exporter.get('/metrics', method='HEAD')
    assert nothing == '' and int(head['Content-Length']) > 1000


def check_counted(daemon, samples):
    """What is counted on request is what `ringway --json` says of it."""
    for port in ask(daemon, 'sizes', 'show'):
        for row in port['sizes']:
            octets = {0: '0-63', 64: '64', 9217: '9217-'}.get(
                row['least'], f'{row["least"]}-{row["most"]}')
            for side in 'rx', 'tx':
                assert samples[key('ringway_port_size_frames_total', port=port['name'],
                                   direction=side, octets=octets)] == row[side]
    for row in ask(daemon, 'vlans', 'show'):
        for side in 'rx', 'tx':
            for name, counter in ('frames',) * 2, ('bytes',) * 2, ('dropped_frames', 'drops'):
                assert samples[key(
                    f'ringway_vlan_{name}_total', bridge=row['bridge'], tpid=row['tpid'],
                    vlan=str(row['vlan']), direction=side)] == row[f'{side}_{counter}']
    pairs = ask(daemon, 'latency', 'show')
    assert pairs
    for pair in pairs:
        ports = {'from': pair['from'], 'to': pair['to']}
        buckets = {float(dict(labels)['le']): n for (name, labels), n in samples.items()
                   if name == 'ringway_latency_seconds_bucket' and ports.items() <= labels}
        assert list(buckets) == sorted(buckets) and len(buckets) == 22
        for end, n in buckets.items():
            assert n == sum(row[2] for row in pair['histogram'] if row[1] < end * 1e9)
        assert buckets[float('inf')] == pair['frames']
        assert samples[key('ringway_latency_seconds_count', **ports)] == pair['frames']
        total = samples[key('ringway_latency_seconds_sum', **ports)]
        assert total == pytest.approx(pair['frames'] * pair['mean_ns'] / 1e9)


def test_names_and_labels_are_those_of_the_document(daemon, export, place):
    """And of the dashboard."""
    listed = run(EXPORTER, '--list-metrics').stdout
    with open(f'{ROOT}/doc/metrics.md', encoding='utf-8') as document:
        assert listed in document.read(), 'doc/metrics.md: run ringway-exporter --list-metrics'
    promised = families()
    exporter = export(daemon.control)
    for what in 'sizes', 'vlans', 'top-talkers', 'latency':
        assert daemon.cli(what, 'start').returncode == 0
    done = run(RINGWAY_BENCH, '--quiet', '--seconds=0.1', f'{place}/vm1.sock', f'{place}/vm2.sock')
    assert done.returncode == 0, done.stderr
    exporter.samples_anew()
    text = exporter.get('/metrics')[1]
    promtool(text)
    check_counted(daemon, parsed(text))
    served = set()
    for name, labels in parsed(text):
        whole = re.sub('_(bucket|sum|count)$', '', name)
        more = {'le'} if whole != name and name.endswith('_bucket') else set()
        assert {label for label, _ in labels} == promised[whole] | more, name
        served.add(whole)
    # What takes a drop, a capture, or a front-end that is still there.
    waiting = {f'ringway_{name}_total' for name in (
        'port_drops', 'queue_drops', 'queue_frames', 'queue_bytes', 'queue_lags',
        'queue_lag_seconds', 'capture_frames', 'capture_lost_frames')}
    assert set(promised) - served - waiting == set()
    with open(f'{ROOT}/config/grafana.json', encoding='utf-8') as dashboard:
        shown = {name.removesuffix('_bucket')
                 for name in re.findall(r'ringway_\w+', dashboard.read())}
    assert shown <= set(promised) and len(shown) > 10


def test_prometheus_scrapes_it(daemon, export, place):
    exporter = export(daemon.control)
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        address = f'127.0.0.1:{probe.getsockname()[1]}'
    with open(f'{ROOT}/config/prometheus.yml', encoding='utf-8') as example:
        text = example.read().replace('127.0.0.1:9917', f'127.0.0.1:{exporter.address[1]}')
    with open(f'{place}/prometheus.yml', 'w', encoding='utf-8') as config:
        config.write(text.replace('scrape_interval: 15s', 'scrape_interval: 1s'))
    with open(f'{place}/prometheus.log', 'w', encoding='utf-8') as log:
        server = subprocess.Popen(
            ['prometheus', f'--config.file={place}/prometheus.yml',
             f'--storage.tsdb.path={place}/tsdb', f'--web.listen-address={address}',
             '--web.max-connections=8'], stdout=log, stderr=log)

    def query(text):
        done = run('promtool', 'query', 'instant', f'http://{address}', text)
        found = re.search(r' => (\S+) @', done.stdout)
        return found and float(found[1])

    try:
        wait_until(lambda: query('ringway_up * on(instance) up{job="ringway"}') == 1)
        assert query('count(ringway_port_link)') == 5
        assert query('ringway_port_frames_total{port="vm2",direction="rx"}') == 0
    finally:
        server.terminate()
        server.wait(WAIT_S)


def test_a_switch_that_is_away_is_a_metric(daemon, export, launch, place):
    exporter = export(f'{place}/d1/c')
    samples = exporter.samples()
    assert samples.pop(key('ringway_up')) == 0
    assert all(name.startswith('ringway_exporter_') for name, _ in samples)
    promtool(exporter.get('/metrics')[1])
    exporter.wait_until_said('the switch does not answer')
    launch(f'--socket-path={place}/other.sock')
    wait_until(lambda: exporter.samples()[key('ringway_up')])
    assert key('ringway_port_link', port='other') in exporter.samples()
    assert daemon.stop() == 0
    assert exporter.stop() == 0


def test_names_of_the_switch_are_data(switch, export):
    name = 'vm"1\\\n# TYPE evil counter\nevil 1'
    side = {'frames': 1, 'bytes': 2, 'drops': {'no_buffer': 3}}
    server = switch({
        'version': {'version': '1"', 'dpdk': ''}, 'worker.list': {'code': 1, 'message': ''},
        'port.list': [{'name': name, 'link': True}], 'bridge.list': [],
        'port.stats': [{'name': name, 'rx': side, 'tx': side, 'queues': []}],
        'fdb.list': {'entries': []}, 'group.list': {}, 'capture.list': [], 'count.list': []})
    exporter = export(server.path)
    assert exporter.samples()[key('ringway_up')] == 0
    server.answers['worker.list'] = []
    wait_until(lambda: exporter.samples()[key('ringway_up')])
    promtool(exporter.get('/metrics')[1])
    samples = exporter.samples()
    assert samples[key('ringway_port_link', port=name)] == 1
    assert samples[key('ringway_port_dropped_frames_total', port=name, direction='rx')] == 3
    for nonsense in [], {}, [[]], {'version': 7}, b'nonsense\n', b'':
        server.answers['port.list'] = nonsense
        assert exporter.samples_anew()[key('ringway_up')] == (isinstance(nonsense, list))


SILENT = {'version': {'version': '1', 'dpdk': ''}, 'worker.list': [], 'port.list': [],
          'bridge.list': [], 'port.stats': [], 'fdb.list': {}, 'group.list': {},
          'capture.list': []}


def test_what_is_counted_may_be_stopped_and_hold_anything(switch, export):
    count = {'running': True, 'ports': [], 'age_s': 1, 'others': 7, 'late': 8, 'missed': 9}
    vlan = {'vlan': 10, 'tpid': '8021q', 'bridge': '-', 'rx_frames': 1, 'rx_bytes': 2,
            'rx_drops': 3, 'tx_frames': 4, 'tx_bytes': 5, 'tx_drops': 6}
    pair = {'from': 'vm"1', 'to': 'vm2', 'frames': 6, 'mean_ns': 1000.0,
            'histogram': [[127, 127, 1], [128, 128, 1], [255, 255, 1], [1 << 39, 1 << 39, 3]]}
    side = {'signals_sent': 1, 'signals_suppressed': 2, 'lags': 3, 'lag_ns': 4500000000}
    server = switch({
        **SILENT, 'latency.show': [pair], 'sizes.show': {'code': -32000, 'message': 'stopped'},
        'port.stats': [{'name': 'vm1', 'rx': side, 'tx': side, 'link_ups': 5, 'link_downs': 6,
                        'queues': [{'pair': 0, 'rx': side, 'tx': side}]}],
        'count.list': [{'what': what, **count} for what in (
            'sizes', 'vlans', 'talkers', 'latency')],
        # Two bridges that are gone have one name: what they had is added.
        'vlans.show': [vlan, vlan, {**vlan, 'vlan': None, 'bridge': 'default'}]})
    exporter = export(server.path)
    text = exporter.get('/metrics', Accept=OPENMETRICS)[1]
    promtool(exporter.get('/metrics')[1])
    samples = parsed(text)
    vlan_10 = {'bridge': '-', 'tpid': '8021q', 'vlan': '10'}
    assert samples[key('ringway_vlan_frames_total', direction='rx', **vlan_10)] == 2
    assert samples[key('ringway_vlan_dropped_frames_total', direction='tx', **vlan_10)] == 12
    assert samples[key('ringway_vlan_bytes_total', direction='tx', bridge='default',
                       tpid='8021q', vlan='none')] == 5
    assert not any(name == 'ringway_port_size_frames_total' for name, _ in samples)
    assert {what for what in ('sizes', 'vlans', 'talkers', 'latency')
            if samples[key('ringway_counted', what=what)]} == {
                'sizes', 'vlans', 'talkers', 'latency'}
    assert {tuple(sorted(labels)): n for (name, labels), n in samples.items()
            if name == 'ringway_uncounted_frames_total'} == {
                (('what', 'vlans'), ('why', 'others')): 7,
                (('what', 'latency'), ('why', 'others')): 7,
                (('what', 'latency'), ('why', 'late')): 8,
                (('what', 'talkers'), ('why', 'missed')): 9}
    names = 'from="vm\\"1",to="vm2"'
    at = text.index('# TYPE ringway_latency_seconds histogram\n')
    lines = [line for line in text[at:].splitlines() if line.startswith('ringway_latency')]
    assert lines[:2] == [f'ringway_latency_seconds_bucket{{{names},le="{le}"}} {n}'
                         for le, n in (('1.28e-07', 1), ('2.56e-07', 3))]
    assert lines[-4:] == [f'ringway_latency_seconds_bucket{{{names},le="0.134217728"}} 3',
                          f'ringway_latency_seconds_bucket{{{names},le="+Inf"}} 6',
                          *lines[-2:]]
    assert samples[key('ringway_latency_seconds_count', **{'from': 'vm"1', 'to': 'vm2'})] == 6
    assert samples[key('ringway_latency_seconds_sum',
                       **{'from': 'vm"1', 'to': 'vm2'})] == pytest.approx(6e-6)
    assert samples[key('ringway_port_lag_seconds_total', port='vm1', direction='tx')] == 4.5
    assert samples[key('ringway_queue_lag_seconds_total', port='vm1', queue='0',
                       direction='rx')] == 4.5
    assert samples[key('ringway_port_suppressed_signals_total', port='vm1', direction='rx')] == 2
    assert samples[key('ringway_port_link_downs_total', port='vm1')] == 6
    # Talkers are nobody's label; and who is asked for a histogram says so.
    asked = dict(server.asked)
    assert 'talkers.show' not in asked and asked['latency.show'] == {'histogram': True}
    for nonsense in {}, [[]], [{'histogram': {}}], [{'histogram': [7, [], ['x']]}]:
        server.answers['latency.show'] = nonsense
        assert exporter.samples_anew()[key('ringway_up')] == isinstance(nonsense, list)


def test_a_switch_that_does_not_answer_holds_nobody_for_ever(export, place):
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(f'{place}/mute')
        mute.listen()
        exporter = export(f'{place}/mute')
        assert exporter.samples()[key('ringway_up')] == 0
        assert 'no answer in time' in exporter.said()


def test_a_thousand_ports_and_clients_that_read_nothing(switch, export):
    reasons = {f'reason_{i}': i % 4 for i in range(8)}
    side = {'frames': 1 << 40, 'bytes': 1 << 50, 'unicast': 1, 'multicast': 2, 'broadcast': 3,
            'drops': reasons}
    names = [f'vm{i}' for i in range(1000)]
    server = switch({
        'version': {'version': '1', 'dpdk': ''}, 'worker.list': [], 'bridge.list': [],
        'port.list': [{'name': name, 'link': True} for name in names],
        'port.stats': [{'name': name, 'rx': side, 'tx': side,
                        'queues': [{'pair': 0, 'rx': side, 'tx': side}]} for name in names],
        'fdb.list': {'entries_total': 5}, 'group.list': {}, 'capture.list': [],
        'count.list': []})
    exporter = export(server.path)
    lines = exporter.get('/metrics')[1].splitlines()
    assert 'ringway_up 1' in lines
    assert f'ringway_port_bytes_total{{port="vm999",direction="tx"}} {1 << 50}' in lines
    assert sum(line.startswith('ringway_queue_drops_total{') for line in lines) == 1000 * 2 * 6
    request = b'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'
    clients = []
    try:
        # More than there is room for, who read nothing; then some who say half of what they want.
        for said in [request] * 150 + [request[:9]] * 100:
            client = socket.create_connection(exporter.address)
            client.sendall(said)
            clients.append(client)
            if len(clients) % 50 == 0:
                assert '\nringway_up 1\n' in exporter.get('/metrics')[1]
    finally:
        for client in clients:
            client.close()
    with open(f'/proc/{exporter.process.pid}/status', encoding='ascii') as status:
        peak, = re.findall(r'^VmHWM:\s+(\d+) kB$', status.read(), flags=re.M)
    # 64 MiB of texts that wait, and one more of each kind with what it is made of.
    assert int(peak) < 256 << 10


def test_only_this_host_and_only_reading(daemon, export):
    exporter = export(daemon.control)
    assert 'only reads' in exporter.get('/metrics', 405, method='POST')[1]
    assert 'only reads' in exporter.get('/metrics', 405, method='DELETE')[1]
    exporter.get('/nothing', 404)
    exporter.get('/../../etc/passwd', 404)
    assert 'another host' in exporter.get('/metrics', 403, Host='evil.example:9917')[1]
    for host in 'localhost', 'localhost:9917', '127.0.0.1:1', '[::1]:9917':
        exporter.get('/metrics', Host=host)
    head, _ = exporter.get('/metrics')
    assert "default-src 'none'" in head['Content-Security-Policy']
    assert head['X-Content-Type-Options'] == 'nosniff'


def test_it_serves_without_privileges(daemon, export, place):
    """The control socket is root's; who serves is nobody, and a child hands it over."""
    os.chmod(daemon.control, 0o600)
    exporter = export(daemon.control, '--user=nobody')
    assert exporter.samples()[key('ringway_up')] == 1
    pid = exporter.process.pid
    children = open(f'/proc/{pid}/task/{pid}/children', encoding='ascii').read().split()
    assert len(children) == 1
    for which, uid in (pid, NOBODY.pw_uid), (children[0], 0):
        with open(f'/proc/{which}/status', encoding='ascii') as status:
            found = dict(re.findall(r'^(\w+):\s+(.*)$', status.read(), flags=re.M))
        assert found['Uid'].split() == [str(uid)] * 4
        for kind in 'CapEff', 'CapPrm', 'CapInh', 'CapBnd', 'CapAmb':
            assert int(found[kind], 16) == 0
        assert found['NoNewPrivs'] == '1' and found['Seccomp'] == '2'
    # A switch that starts again is found again, though nobody may not connect.
    daemon.stop()
    wait_until(lambda: exporter.samples()[key('ringway_up')] == 0)
    again = Daemon(daemon.folder, [f'--socket-path={place}/vm9.sock'])
    try:
        wait_until(lambda: exporter.samples()[key('ringway_up')])
    finally:
        again.kill()
    assert exporter.stop() == 0
    wait_until(lambda: not os.path.exists(f'/proc/{children[0]}'))


def dpdk_telemetry(place, *commands):
    """The answers that DPDK's own client prints."""
    done = subprocess.run(['dpdk-telemetry.py', '-f', 'ringway'], text=True, capture_output=True,
                          input=''.join(command + '\n' for command in commands), check=False,
                          env={**os.environ, 'RUNTIME_DIRECTORY': place}, timeout=WAIT_S)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_dpdk_s_client_reads_the_same(daemon, export, place):
    os.makedirs(f'{place}/dpdk/ringway')
    path = f'{place}/dpdk/ringway/dpdk_telemetry.v2'
    exporter = export(daemon.control, f'--telemetry={path}')
    names, port, nobody, stats, workers, fdb, unknown, listed, said, none = dpdk_telemetry(
        place, '/ringway/ports', '/ringway/port,vm1', '/ringway/port,vm9', '/ringway/stats,vm4',
        '/ringway/workers', '/ringway/fdb', '/nothing', '/', '/help,/ringway/stats',
        '/ringway/latency')
    assert none == {'/ringway/latency': None}
    ports = ask(daemon, 'port', 'list')
    assert names == {'/ringway/ports': [one['name'] for one in ports]}
    assert port == {'/ringway/port': ports[0]}
    assert nobody == {'/ringway/port': None}
    assert stats == {'/ringway/stats': ask(daemon, 'port', 'stats', 'vm4')[0]}
    assert workers['/ringway/workers'][0]['cpu'] == ask(daemon, 'worker', 'list')[0]['cpu']
    assert fdb['/ringway/fdb']['entries_total'] == 0
    assert unknown == {'/nothing': None}
    assert '/ringway/stats' in listed['/'] and 'counters' in said['/help']['/ringway/stats']
    for what in 'sizes', 'vlans', 'latency':
        assert daemon.cli(what, 'start').returncode == 0
    wait_until(lambda: exporter.json('/api/switch').get('latency') == [])
    assert dpdk_telemetry(place, '/ringway/latency', '/ringway/vlans', '/ringway/sizes,vm1') == [
        {'/ringway/latency': []}, {'/ringway/vlans': []},
        {'/ringway/sizes': ask(daemon, 'sizes', 'show')[0]}]
    # More clients than there is room for, who say nonsense or nothing.
    others = []
    for nonsense in [b'\xff,\xff', b'x' * 1024, b',', b'/ringway/port,' + b'y' * 900] * 5:
        others.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        others[-1].connect(path)
        others[-1].send(nonsense)
    assert dpdk_telemetry(place, '/ringway/up') == [{'/ringway/up': {'up': True}}]
    for other in others:
        other.close()
    assert exporter.stop() == 0
    # The file that is left is replaced, a living one is not.
    export(daemon.control, f'--telemetry={path}')
    assert dpdk_telemetry(place, '/ringway/up')[0]['/ringway/up']['up'] is True
    done = run(EXPORTER, f'--socket={daemon.control}', '--listen=127.0.0.1:0',
               f'--telemetry={path}')
    assert done.returncode == 1 and 'Address already in use' in the_line(done.stderr)


@pytest.mark.parametrize('words, line', [
    (['--listen=9917'], '--listen wants an address and a port'),
    (['--listen=localhost:1'], '--listen wants an address and a port'),
    (['--listen=127.0.0.1:65536'], '--listen wants an address and a port'),
    (['--socket='], '--socket=: a path has 1 to 107 bytes'),
    (['--seccomp=x'], '--seccomp wants errno, kill or off, not "x"'),
    (['--lisen=x'], 'unknown option --lisen=x: did you mean --listen?'),
    (['--user'], '--user wants a value'),
    (['word'], 'unexpected word "word"'),
])
def test_a_mistake_is_one_line(words, line):
    done = run(EXPORTER, *words)
    assert done.returncode == 2
    assert the_line(done.stderr).startswith(f'ringway-exporter: {line}')


def test_an_address_that_is_taken_is_one_line(place):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        done = run(EXPORTER, f'--socket={place}/c', f'--listen=127.0.0.1:{taken.getsockname()[1]}')
    assert done.returncode == 1
    assert 'Address already in use' in the_line(done.stderr)
