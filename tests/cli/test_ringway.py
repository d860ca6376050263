# SPDX-License-Identifier: BSD-3-Clause
"""The ringway command against a scripted switch: what it asks, what it prints, how it fails."""

import itertools
import json
import os
import socket
import subprocess
import sys

import pytest

from programs import AS_NOBODY, NOBODY, RINGWAY, run, the_line


def succeed(*words, **options):
    done = run(RINGWAY, *words, **options)
    assert (done.returncode, done.stderr) == (0, '')
    return done.stdout


def fail(status, *words, **options):
    """The one line of complaint."""
    done = run(RINGWAY, *words, **options)
    assert done.returncode == status, done.stderr
    line = the_line(done.stderr)
    assert line.startswith('ringway: ')
    return line


def counters(frames, size, **drops):
    return {'frames': frames, 'bytes': size, 'unicast': frames, 'multicast': 0, 'broadcast': 0,
            'drops': drops}


PORTS = [
    {'name': 'vm1', 'id': 0, 'driver': 'vhost', 'mode': 'server', 'path': '/tmp/vm1.sock',
     'bridge': 'blue', 'connected': True, 'link': True, 'pairs': 2, 'ring_format': 'packed',
     'features': '0x140000000', 'mtu': 1500},
    {'name': 'uplink', 'id': 11, 'driver': 'vhost', 'mode': 'client', 'path': '/tmp/up.sock',
     'connected': False, 'link': False, 'pairs': 0, 'ring_format': None, 'features': None,
     'mtu': None},
]
RING = {'index': 0, 'direction': 'tx', 'format': 'packed', 'size': 256, 'state': 'enabled',
        'avail': 12, 'avail_wrap': 1, 'used': 7, 'used_wrap': 0, 'call': 'eventfd',
        'events': 'index', 'big_endian': False, 'logged': True, 'inflight': True}
PORT = {'name': 'vm1', 'id': 0, 'driver': 'vhost', 'mode': 'server', 'path': '/tmp/vm1.sock',
        'connected': True, 'link': True, 'mtu': 1500, 'mac': '52:54:00:00:00:01',
        'features': ['VIRTIO_NET_F_CSUM', 'VIRTIO_NET_F_GUEST_CSUM', 'VIRTIO_NET_F_MTU',
                     'VIRTIO_NET_F_MRG_RXBUF', 'bit 50'],
        'features_hex': '0x400000800b', 'protocol_features': ['MQ', 'LOG_SHMFD'],
        'status': ['ACKNOWLEDGE', 'DRIVER'],
        'memory': [{'gpa': '0x0', 'size': 655360, 'uva': '0x7f0000000000'},
                   {'gpa': '0x100000000', 'size': 3 << 30, 'uva': '0x7f0040000000'},
                   {'gpa': '0x200000000', 'size': 1537, 'uva': '0x7f0140000000'}],
        'rings': [RING, {**RING, 'index': 1, 'direction': 'rx', 'format': 'split',
                         'state': 'stopped', 'avail': 3, 'avail_wrap': None, 'used': None,
                         'used_wrap': None, 'call': 'none', 'events': 'flags', 'big_endian': True,
                         'logged': False, 'inflight': False}],
        'backend_channel': True, 'iotlb': {'entries': 31},
        'log': {'active': True, 'size': 4096, 'buffers': True, 'rings': 1, 'pages_marked': 8},
        'inflight': {'size': 8192, 'rings': 2, 'ring_size': 256}, 'postcopy': 'advised',
        'postcopy_allowed': True}
STATS = [
    {'name': 'vm1', 'rx': counters(1234567, 88, bad_chain=3, hairpin=0, no_link=4),
     'tx': counters(5, 300) | {'converted_csum': 0, 'segmented': 3},
     'queues': [{'pair': 0, 'rx': counters(1234567, 88, bad_chain=3),
                 'tx': counters(5, 300)}]},
]
ENTRIES = [{'mac': f'52:54:00:00:00:0{i}', 'vlan': i, 'port': 'vm1', 'static': i == 1,
    'age_s': 7 * i}
           for i in range(3)]
WORKERS = [
    {'worker': 0, 'cpu': 3, 'polls': 1000, 'busy_polls': 10, 'busy_cycles': 2500,
        'idle_cycles': 2500,
     'frames': 50, 'queues': 4, 'idle': 'adaptive', 'asleep': True, 'sleeps': 7,
     'asleep_cycles': 5000},
    {'worker': 1, 'cpu': 10, 'polls': 0, 'busy_polls': 0, 'busy_cycles': 0, 'idle_cycles': 0,
        'frames': 0,
     'queues': 0, 'idle': 'spin', 'asleep': False, 'sleeps': 0, 'asleep_cycles': 0},
]
VERSION = {'name': 'ringwayd', 'version': '9.9.9', 'dpdk': 'DPDK 22.11.0'}


def pages(params):
    """Two entries a page at most, whatever the limit."""
    start = params.get('cursor', 0)
    end = start + 2
    return {'entries': ENTRIES[start:end], 'next': end if end < len(ENTRIES) else None,
            'entries_total': len(ENTRIES), 'max_entries': 100}


def lag(lags, ns, sent, suppressed):
    return {'lags': lags, 'lag_ns': ns, 'signals_sent': sent, 'signals_suppressed': suppressed}


def test_port_list_is_a_table(switch):
    server = switch({'port.list': PORTS})
    assert succeed('-s', server.path, 'port', 'list') == (
        'ID  NAME    BRIDGE  DRIVER  MODE    CONNECTED  LINK  PAIRS  RING     MTU     FEATURES  '
        'PATH\n'
        ' 0  vm1     blue    vhost   server  yes        up        2  packed  1500  0x140000000  '
        '/tmp/vm1.sock\n'
        '11  uplink  -       vhost   client  no         down      0  -          -            -  '
        '/tmp/up.sock\n')
    assert server.asked == [('port.list', None)]


def test_port_show_is_a_page(switch):
    server = switch({'port.show': PORT})
    assert succeed('-s', server.path, 'port', 'show', 'vm1') == (
        'port               vm1 (vhost server, /tmp/vm1.sock)\n'
        'front-end          connected, link up\n'
        'virtio features    VIRTIO_NET_F_CSUM VIRTIO_NET_F_GUEST_CSUM VIRTIO_NET_F_MTU\n'
        '                   VIRTIO_NET_F_MRG_RXBUF bit 50\n'
        'protocol features  MQ LOG_SHMFD\n'
        'device status      ACKNOWLEDGE DRIVER\n'
        'MAC                52:54:00:00:00:01\n'
        'MTU                1500\n'
        'back-end channel   open\n'
        'IOTLB entries      31\n'
        'dirty log          4096 bytes; buffers: yes; rings: 1; pages marked: 8\n'
        'in-flight bytes    8192\n'
        'postcopy           advised (allowed)\n'
        '\n'
        '     MEMORY     SIZE  IN THE FRONT-END\n'
        '        0x0  640 KiB    0x7f0000000000\n'
        '0x100000000    3 GiB    0x7f0040000000\n'
        '0x200000000   1537 B    0x7f0140000000\n'
        '\n'
        'RING  DIRECTION  FORMAT  SIZE  STATE    AVAIL  USED  CALL     EVENTS  BYTE ORDER  LOGGED'
        '  IN FLIGHT\n'
        '   0  tx         packed   256  enabled   12/1   7/0  eventfd  index   little      yes   '
        '  recorded\n'
        '   1  rx         split    256  stopped      3     -  none     flags   big         no    '
        '  -\n')
    assert json.loads(succeed('-s', server.path, 'port', 'show', 'vm1', '--json')) == PORT
    assert server.asked == [('port.show', {'name': 'vm1'})] * 2


def test_port_show_of_a_port_without_a_front_end_is_short(switch):
    server = switch({'port.show': {**PORT, 'connected': False, 'link': False, 'path': None}})
    assert succeed('-s', server.path, 'port', 'show', 'vm1') == (
        'port               vm1 (vhost server, -)\n'
        'front-end          none, link down\n')


def test_port_stats_name_the_reasons_that_occurred(switch):
    server = switch({'port.stats': STATS})
    assert succeed('-s', server.path, 'port', 'stats') == (
        'PORT  DIRECTION     FRAMES  BYTES  DROPS\n'
        'vm1   rx           1234567     88      7\n'
        '        bad_chain                      3\n'
        '        no_link                        4\n'
        '      tx                 5    300      0\n'
        '        segmented        3              \n')
    assert succeed('-s', server.path, 'port', 'stats', 'vm1', '--queues') == (
        'PORT  DIRECTION            FRAMES  BYTES  DROPS\n'
        'vm1   rx                  1234567     88      7\n'
        '        bad_chain                             3\n'
        '        no_link                               4\n'
        '      tx                        5    300      0\n'
        '        segmented               3              \n'
        '      pair 0 rx           1234567     88      3\n'
        '               bad_chain                      3\n'
        '      pair 0 tx                 5    300      0\n')
    assert server.asked == [('port.stats', None), ('port.stats', {'name': 'vm1'})]


def test_port_lag_says_who_is_too_slow(switch):
    pair = {'pair': 0, 'rx': lag(2, 1500000, 10, 3), 'tx': lag(0, 0, 0, 13)}
    ports = [{'name': 'vm1', 'uplink': False, 'link_downs': 2, 'link_ups': 3, 'link_changed_s': 7,
              'rx': lag(2, 1500000, 10, 3), 'tx': lag(1, 2000040000, 5, 6), 'queues': [pair]},
             {'name': 'up0', 'uplink': True, 'link_downs': 0, 'link_ups': 1, 'link_changed_s': 9,
              'rx': lag(0, 0, 0, 0), 'tx': lag(4, 100000, 0, 0), 'queues': []}]
    server = switch({'port.stats': ports})
    assert succeed('-s', server.path, 'port', 'lag', '--queues') == (
        'PORT  DIRECTION  BEHIND  LAGS  LAG MS  SIGNALS  SUPPRESSED\n'
        'vm1   rx         switch     2     1.5       10           3\n'
        '      tx         guest      1  2000.0        5           6\n'
        '      pair 0 rx  switch     2     1.5       10           3\n'
        '      pair 0 tx  guest      0     0.0        0          13\n'
        'up0   rx         switch     0     0.0        0           0\n'
        '      tx         device     4     0.1        0           0\n'
        'port vm1: its link went down 2 times, and changed 7 s ago\n')
    succeed('-s', server.path, 'port', 'lag', 'vm1')
    assert server.asked == [('port.stats', None), ('port.stats', {'name': 'vm1'})]


def test_fdb_list_turns_all_pages(switch):
    server = switch({'fdb.list': pages})
    assert succeed('-s', server.path, 'fdb', 'list') == (
        'VLAN  MAC                PORT  TYPE      AGE\n'
        '   0  52:54:00:00:00:00  vm1   learned   0 s\n'
        '   1  52:54:00:00:00:01  vm1   static      -\n'
        '   2  52:54:00:00:00:02  vm1   learned  14 s\n'
        '3 entries, 1 of them static; room for 100\n')
    assert [params['cursor'] for _, params in server.asked] == [0, 2]
    assert json.loads(succeed('-s', server.path, '--json', 'fdb', 'list')) == ENTRIES


def test_fdb_list_says_how_hosts_were_found(switch):
    entries = [{'mac': f'52:54:00:00:00:0{n}', 'vlan': 0, 'port': 'vm1', 'static': not how,
                'age_s': 0, **({'how': how} if how else {})}
               for n, how in enumerate(['frame', 'migration', None])]
    server = switch({'fdb.list': {'entries': entries, 'next': None, 'max_entries': 100}})
    assert succeed('-s', server.path, 'fdb', 'list') == (
        'VLAN  MAC                PORT  TYPE     HOW        AGE\n'
        '   0  52:54:00:00:00:00  vm1   learned  frame      0 s\n'
        '   0  52:54:00:00:00:01  vm1   learned  migration  0 s\n'
        '   0  52:54:00:00:00:02  vm1   static   -            -\n'
        '3 entries, 1 of them static; room for 100\n')
    assert json.loads(succeed('-s', server.path, '--json', 'fdb', 'list')) == entries


def test_fdb_list_is_sorted_by_vlan_and_address(switch):
    keys = [(2, '00:00:00:00:00:01'), (0, 'fe:00:00:00:00:00'), (10, '00:00:00:00:00:00'),
            (0, '00:00:00:00:00:ff'), (0, '00:00:00:00:01:00'), (4094, '02:00:00:00:00:00')]
    entries = [{'mac': mac, 'vlan': vlan, 'port': f'vm{vlan}', 'static': False, 'age_s': 1}
               for vlan, mac in keys]
    server = switch({'fdb.list': {'entries': entries, 'next': None}})
    rows = json.loads(succeed('-s', server.path, '--json', 'fdb', 'list'))
    assert [(row['vlan'], row['mac']) for row in rows] == sorted(keys)
    assert all(row in entries for row in rows)
    rows = [line.split() for line in succeed('-s', server.path, 'fdb', 'list').splitlines()]
    assert [(int(row[0]), row[1]) for row in rows[1:-1]] == sorted(keys)


def test_fdb_list_asks_for_what_is_wanted(switch):
    server = switch({'fdb.list': {'entries': ENTRIES[1:2], 'next': None, 'entries_total': 3,
                                  'max_entries': 100}})
    assert succeed('-s', server.path, 'fdb', 'list', 'port=vm1', 'static', 'vlan=1',
                   'mac=52:54:00:00:00:01').endswith('1 of 3 entries, 1 of them static; '
                                                     'room for 100\n')
    succeed('-s', server.path, 'fdb', 'list', 'learned')
    assert [{key: value for key, value in params.items() if key not in ('cursor', 'limit')}
            for _, params in server.asked] == [
                {'port': 'vm1', 'static': True, 'vlan': 1, 'mac': '52:54:00:00:00:01'},
                {'static': False}]


def test_fdb_add_replaces_when_asked(switch):
    server = switch({'fdb.add': {}})
    succeed('-s', server.path, 'fdb', 'add', '52:54:00:00:00:01', '--port', 'vm1')
    succeed('-s', server.path, 'fdb', 'add', '52:54:00:00:00:01', '--port', 'vm1', '--replace')
    entry = {'mac': '52:54:00:00:00:01', 'port': 'vm1', 'vlan': 0}
    assert [params for _, params in server.asked] == [entry, {**entry, 'replace': True}]


def test_ports_are_added_changed_and_deleted(switch):
    server = switch({'port.add': PORTS[0], 'port.set': PORTS[0], 'port.del': {}})
    assert succeed('-s', server.path, 'port', 'add', 'vm1', 'socket=/tmp/vm1.sock', 'mode=server',
                   'description=a=b') == 'port vm1 is there (vhost server, /tmp/vm1.sock)\n'
    assert succeed('-s', server.path, 'port', 'set', 'vm1', 'description=') == (
        'port vm1 has changed\n')
    assert succeed('-s', server.path, 'port', 'del', 'vm1') == 'port vm1 is gone\n'
    assert json.loads(succeed('-s', server.path, 'port', 'add', 'vm1', '--json')) == PORTS[0]
    assert server.asked == [
        ('port.add', {'name': 'vm1', 'socket': '/tmp/vm1.sock', 'mode': 'server',
                      'description': 'a=b'}),
        ('port.set', {'name': 'vm1', 'description': ''}), ('port.del', {'name': 'vm1'}),
        ('port.add', {'name': 'vm1'})]


def test_port_show_has_the_description(switch):
    server = switch({'port.show': {**PORT, 'connected': False, 'description': 'tenant 7'}})
    assert 'description        tenant 7\n' in succeed('-s', server.path, 'port', 'show', 'vm1')


LISTENER = """
import socket, sys
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(sys.argv[1])
    listener.listen(1)
    print(flush=True)
    print(listener.accept()[0].recv(1), flush=True)
"""


def test_a_switch_of_another_user_is_not_trusted(place):
    if os.geteuid():
        pytest.skip('only root can become another user')
    with subprocess.Popen([*AS_NOBODY, sys.executable, '-c', LISTENER, f'{place}/s'],
                          stdout=subprocess.PIPE) as listener:
        listener.stdout.readline()
        line = fail(1, '-s', f'{place}/s', 'port', 'list')
        assert f'process {listener.pid} of user {NOBODY.pw_uid} listens at {place}/s' in line
        assert listener.stdout.readline() == b"b''\n", 'nothing is asked'


def test_fdb_flush_says_how_many_went(switch):
    server = switch({'fdb.flush': lambda params: {'flushed': 1 if params else 12}})
    assert succeed('-s', server.path, 'fdb', 'flush') == '12 addresses forgotten\n'
    assert succeed('-s', server.path, 'fdb', 'flush', '--port', 'vm1') == '1 address forgotten\n'
    assert json.loads(succeed('-s', server.path, 'fdb', 'flush', '--json')) == {'flushed': 12}
    assert server.asked == [('fdb.flush', None), ('fdb.flush', {'port': 'vm1'}),
                            ('fdb.flush', None)]


def test_worker_list_shows_how_busy_they_are(switch):
    server = switch({'worker.list': WORKERS})
    assert succeed('-s', server.path, 'worker', 'list') == (
        'WORKER  CPU  QUEUES  FRAMES    BUSY  CYCLES/FRAME  POLLS  BUSY POLLS  IDLE      ASLEEP'
        '  SLEEPS\n'
        '     0    3       4      50  25.0 %            50   1000          10  adaptive  50.0 %'
        '       7\n'
        '     1   10       0       0   0.0 %             -      0           0  spin       0.0 %'
        '       0\n')


# What does not grow.
SETTINGS = ('name', 'worker', 'cpu', 'queues', 'pair', 'idle', 'asleep')


def test_worker_list_shows_what_each_polls(switch):
    polled = [{'port': 'vm1', 'queue': 0, 'load': 0.125, 'memory_node': 0, 'far_off': False,
               'by_hand': True},
              {'port': 'vm2', 'queue': 11, 'load': 0, 'memory_node': None, 'far_off': True,
               'by_hand': False}]
    server = switch({'worker.list': [{**WORKERS[0], 'polled': []},
                                     {**WORKERS[1], 'polled': polled}]})
    assert succeed('-s', server.path, 'worker', 'list').split('\n\n')[1] == (
        'WORKER  PORT  QUEUE    LOAD  NODE  NOTES\n'
        '     1  vm1       0  12.5 %     0  by hand\n'
        '     1  vm2      11   0.0 %     -  far\n')


def test_worker_move(switch):
    server = switch({'worker.move': {'port': 'vm1', 'queue': 2}, 'worker.balance': {'moved': 1}})
    assert (succeed('-s', server.path, 'worker', 'move', 'vm1', '2', '1')
            == 'queue 2 of vm1 is polled by worker 1\n')
    assert succeed('-s', server.path, 'worker', 'balance') == '1 queue moved\n'
    assert server.asked == [('worker.move', {'port': 'vm1', 'queue': 2, 'worker': 1}),
                            ('worker.balance', None)]


def grown(rows, seconds):
    """A counter that began at `rows` and grows by as much in each of `seconds` intervals."""
    if isinstance(rows, list):
        return [grown(row, seconds) for row in rows]
    if isinstance(rows, dict):
        return {key: value if key in SETTINGS else grown(value, seconds)
                for key, value in rows.items()}
    return rows * seconds


def growing(rows):
    """Answers to one question after the other."""
    asked = itertools.count(1)
    return lambda _: grown(rows, next(asked))


def test_rate_is_what_happened_in_a_second(switch):
    server = switch({'port.stats': growing(STATS), 'worker.list': growing(WORKERS)})
    answer = json.loads(succeed('-s', server.path, 'rate', '--interval', '0.5', '--json'))
    seconds = answer['interval_s']
    assert 0.5 <= seconds < 5
    port, = answer['ports']
    rates = {key: round(value * seconds) for key, value in port['rx'].items()}
    assert rates == {'frames_per_s': 1234567, 'bits_per_s': 8 * 88, 'drops_per_s': 7}
    rates = {key: round(value * seconds) for key, value in port['tx'].items()}
    assert rates == {'frames_per_s': 5, 'bits_per_s': 8 * 300, 'drops_per_s': 0}
    busy, idle = answer['workers']
    assert (busy['cpu'], busy['queues'], busy['busy'], busy['cycles_per_frame']) == (3, 4, 0.25, 50)
    assert busy['frames_per_s'] == pytest.approx(50 / seconds, rel=0.05)
    assert busy['asleep'] == 0.5
    assert idle == {'cpu': 10, 'queues': 0, 'frames_per_s': 0, 'busy': 0, 'asleep': 0,
                    'cycles_per_frame': None}
    assert server.asked == 2 * [('port.stats', None), ('worker.list', None)]


def test_rate_counts_from_where_a_counter_began_anew(switch):
    stats = [[{**STATS[0], 'tx': counters(n, 0)}] for n in (100, 40, 41)]
    stats[0].append({**STATS[0], 'name': 'gone'})
    stats[2].append({**STATS[0], 'name': 'new'})
    server = switch({'port.stats': lambda _: stats.pop(0), 'worker.list': []})
    text = succeed('-s', server.path, 'rate', '--interval=0.2', '--count', '2', '--json')
    first, length = json.JSONDecoder().raw_decode(text)
    second = json.loads(text[length:])
    assert [round(answer['ports'][0]['tx']['frames_per_s'] * answer['interval_s'])
            for answer in (first, second)] == [40, 1]
    assert [port['name'] for port in second['ports']] == ['vm1', 'new']


def test_rate_is_two_tables(switch):
    calm = [{**STATS[0], 'rx': counters(0, 0), 'tx': counters(0, 0, no_buffer=0)}]
    server = switch({'port.stats': calm, 'worker.list': WORKERS})
    once = ('PORT  DIRECTION  FRAMES/S  BITS/S  DROPS/S\n'
            'vm1   rx                0       0        0\n'
            '      tx                0       0        0\n'
            '\n'
            'CPU  QUEUES  FRAMES/S   BUSY  ASLEEP  CYCLES/FRAME\n'
            '  3       4         0  0.0 %   0.0 %             -\n'
            ' 10       0         0  0.0 %   0.0 %             -\n')
    assert succeed('-s', server.path, 'rate', '--interval', '0.02') == once
    assert succeed('-s', server.path, 'rate', '--interval', '0.02', '--count=3') == \
        '\n'.join(3 * [once])


@pytest.mark.parametrize('words, method, params', [
    (['show'], 'forward.show', None),
    (['start'], 'forward.start', None),
    (['stop'], 'forward.stop', None),
    (['set', 'macswap'], 'forward.set', {'mode': 'macswap'}),
])
def test_forward_shows_who_sends_to_whom(switch, words, method, params):
    paired = {'mode': 'macswap', 'running': False,
              'ports': [{'name': 'vm1', 'partner': 'uplink'}, {'name': 'uplink', 'partner': 'vm1'}]}
    server = switch({method: paired})
    assert succeed('-s', server.path, 'forward', *words) == (
        'forwarding: macswap, stopped\n'
        'PORT    SENDS TO\n'
        'vm1     uplink\n'
        'uplink  vm1\n')
    assert json.loads(succeed('-s', server.path, 'forward', *words, '--json')) == paired
    assert server.asked == 2 * [(method, params)]
    server = switch({method: {'mode': 'switch', 'running': True,
                              'ports': [{'name': 'vm1', 'partner': None}]}})
    assert succeed('-s', server.path, 'forward', *words) == 'forwarding: switch, running\n'


def test_version_shows_both_programs(switch):
    server = switch({'version': VERSION})
    own = succeed('--version')
    assert succeed('-s', server.path, 'version') == own + 'ringwayd 9.9.9 (DPDK 22.11.0)\n'
    answer = json.loads(succeed('-s', server.path, 'version', '--json'))
    assert answer == {**VERSION, 'client_version': own.split()[1]}


def test_version_without_a_switch_shows_its_own(place):
    done = run(RINGWAY, '-s', f'{place}/none', 'version')
    assert done.returncode == 1
    assert done.stdout == succeed('--version')
    assert f'{place}/none' in the_line(done.stderr)


@pytest.mark.parametrize('words, method, answer', [
    (['port', 'list'], 'port.list', PORTS),
    (['port', 'stats'], 'port.stats', STATS),
    (['worker', 'list'], 'worker.list', WORKERS),
])
def test_json_is_the_switchs_answer(switch, words, method, answer):
    server = switch({method: answer})
    for command in (['-s', server.path, *words, '--json'], ['--json', *words, f'-s{server.path}'],
                    [words[0], '--json', f'--socket={server.path}', *words[1:]]):
        assert json.loads(succeed(*command)) == answer


@pytest.mark.parametrize('posix', [{}, {'POSIXLY_CORRECT': '1'}])
def test_options_stand_anywhere(switch, posix):
    server = switch({'port.stats': STATS})
    out = succeed('port', '-s', server.path, 'stats', '--json', 'vm1', env={**os.environ, **posix})
    assert json.loads(out) == STATS


def test_an_empty_table_has_its_titles(switch):
    server = switch({'port.list': [], 'fdb.list': {'entries': [], 'next': None}})
    assert succeed('-s', server.path, 'port', 'list').startswith('ID  NAME')
    assert succeed('-s', server.path, 'port', 'list', '--json') == '[]\n'
    assert succeed('-s', server.path, 'fdb', 'list', '--json') == '[]\n'


@pytest.mark.parametrize('words, named', [
    ([], 'which command?'),
    (['frob'], '"frob"'),
    (['port'], '"port"'),
    (['port', 'lost'], '"port lost"'),
    (['port'], '"port" wants a verb: list, show, stats, lag, add, del and set'),
    (['prot'], 'did you mean "port"?'),
    (['prot', 'lst'], 'unknown command "prot lst": did you mean "port list"?'),
    (['port', 'lsit'], 'did you mean "port list"?'),
    (['port', 'frobnicate'], 'there are list, show, stats, lag, add, del and set'),
    (['frobnicate', 'it'], 'there are port, bridge, fdb, group, worker, rate, top, monitor, '
                           'mark, sizes, vlans, top-talkers, latency, capture, captures, '
                           'mirror, trace, explain, methods, forward, apply, config, '
                           'backends and version'),
    (['port', 'add'], 'port add NAME socket=PATH'),
    (['port', 'add', 'vm1', 'socket'], '"socket" is not KEY=VALUE'),
    (['port', 'add', 'vm1', '=x'], '"=x" is not KEY=VALUE'),
    (['port', 'add', 'vm1', 'socket=/a', 'socket=/b'], 'socket is given twice'),
    (['port', 'add', 'vm1', 'name=vm2'], 'name of a port stands before'),
    (['port', 'add', 'vm1', b'socket=/\xff'], 'UTF-8'),
    (['port', 'del'], 'port del NAME'),
    (['port', 'del', 'vm1', 'vm2'], '"vm2"'),
    (['port', 'set'], 'port set NAME'),
    (['fdb', 'list', 'vm1'], '"vm1"'),
    (['fdb', 'list', 'vlan=4095'], 'vlan=4095: give a number from 0 to 4094'),
    (['fdb', 'list', 'mac=52:54'], 'mac=52:54: an address is like'),
    (['fdb', 'list', 'static', 'learned'], '"learned" is one too many'),
    (['fdb', 'list', '--replace'], '--replace does not belong here'),
    (['port', 'list', 'vm1'], '"vm1"'),
    (['port', 'show'], 'port show NAME'),
    (['port', 'show', 'vm1', 'vm2'], '"vm2"'),
    (['port', 'stats', 'vm1', 'vm2'], '"vm2"'),
    (['version', 'now'], '"now"'),
    (['port', 'list', '--', 'x'], '"x"'),
    (['port', 'list', '--queues'], '--queues'),
    (['port', 'stats', '--port', 'vm1'], '--port'),
    (['rate', 'vm1'], '"vm1"'),
    (['rate', '--interval', '0'], '--interval wants 0.01 to 86400 seconds, not "0"'),
    (['rate', '--interval', '1s'], '"1s"'),
    (['rate', '--count', '-1'], '"-1"'),
    (['rate', '--count=many'], '"many"'),
    (['port', 'stats', '--interval', '1'], '--interval'),
    (['worker', 'move'], 'worker move PORT QUEUE WORKER'),
    (['worker', 'move', 'vm1', '0'], 'worker move PORT QUEUE WORKER'),
    (['worker', 'move', 'vm1', 'first', '0'], 'QUEUE is numbered from 0 to 65535, not "first"'),
    (['worker', 'move', 'vm1', '0', '-1'], '-1'),
    (['worker', 'move', 'vm1', '0', '65536'], 'WORKER is numbered from 0 to 65535, not "65536"'),
    (['worker', 'move', 'vm1', '0', '1', '2'], '"2"'),
    (['worker', 'balance', 'now'], '"now"'),
    (['forward'], '"forward"'),
    (['forward', 'set'], 'forward set MODE'),
    (['forward', 'stop', 'now'], '"now"'),
    (['port', 'list', '--bogus'], 'unknown option --bogus (see --help)'),
    (['port', 'list', '--jsno'], 'unknown option --jsno: did you mean --json?'),
    (['fdb', 'flush', '--prot=vm1'], 'unknown option --prot=vm1: did you mean --port?'),
    (['port', 'list', '-x'], '-x'),
    (['port', 'list', '-s'], '-s wants a value'),
    (['port', 'list', '-s', ''], 'empty'),
    (['port', 'list', '-s', '/tmp/' + 'x' * 103], '107'),
])
def test_a_misuse_is_one_line_with_status_2(words, named):
    assert named in fail(2, *words)


def test_help_names_every_command():
    text = succeed('--help')
    for command in ('port list', 'port show', 'port stats', 'port lag', 'port add', 'port del',
                    'port set',
                    'fdb list', 'fdb flush', 'worker list',
                    'worker move', 'worker balance', 'rate', 'top', 'monitor',
                    'sizes start', 'vlans show',
                    'top-talkers stop', 'latency histogram', 'methods',
                    'forward show', 'forward set',
                    'forward start', 'forward stop', 'mirror add', 'mirror list', 'version'):
        assert f'\n  {command}' in text
    assert succeed('port', 'list', '-h') == text
    assert succeed('prot', '--bogus', '--help') == text


def test_no_switch_is_a_failure_that_says_where(place):
    line = fail(1, '-s', f'{place}/none', 'port', 'list')
    assert f'{place}/none' in line
    assert 'no such socket' in line
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(f'{place}/stale')
    assert 'nobody listens' in fail(1, '-s', f'{place}/stale', 'port', 'list')


def test_the_default_socket_is_the_users(place):
    environment = {**os.environ, 'XDG_RUNTIME_DIR': place}
    expected = '/run/ringway.sock' if not os.geteuid() else f'{place}/ringway.sock'
    if os.path.exists(expected):
        pytest.skip(f'a switch runs at {expected}')
    assert expected in fail(1, 'port', 'list', env=environment)


def test_the_switchs_error_is_passed_on(switch):
    server = switch({'port.stats': {'code': -32000, 'message': 'there is no port "x\x1b[31m"'}})
    assert fail(1, '-s', server.path, 'port', 'stats', 'x') == \
        'ringway: there is no port "x?[31m"'


@pytest.mark.parametrize('answer', [
    b'', b'nonsense\n', b'{"jsonrpc": "2.0"', b'[]\n', b'{"jsonrpc":"2.0","result":7,"id":1}\n',
    b'{"jsonrpc":"2.0","result":[],"id":2}\n',
])
def test_a_switch_that_answers_nonsense_is_a_failure(switch, answer):
    server = switch({'port.list': answer})
    assert server.path in fail(1, '-s', server.path, 'port', 'list')


@pytest.mark.parametrize('page', [
    {'entries': [], 'next': 0}, {'entries': 7, 'next': None}, {'next': None},
])
def test_a_list_that_does_not_move_on_is_a_failure(switch, page):
    server = switch({'fdb.list': page})
    assert 'nonsense' in fail(1, '-s', server.path, 'fdb', 'list')


def test_control_characters_do_not_reach_the_terminal(switch):
    server = switch({'port.list': [{**PORTS[0], 'path': '/tmp/\x1b[2J'}]})
    assert '/tmp/?[2J' in succeed('-s', server.path, 'port', 'list')
    server = switch({'port.show': {**PORT, 'path': '\x1b[2J', 'features': ['\x1b[1m']}})
    page = succeed('-s', server.path, 'port', 'show', 'vm1')
    assert '?[2J' in page and '?[1m' in page and '\x1b' not in page


@pytest.mark.parametrize('words', [['--help'], ['--version'], ['port', 'list'],
                                   ['port', 'list', '--json'],
                                   ['rate', '--interval=0.01', '--count=0']])
def test_output_that_cannot_be_written_is_a_failure(switch, words):
    server = switch({'port.list': PORTS, 'port.stats': STATS, 'worker.list': WORKERS})
    with open('/dev/full', 'w', encoding='utf-8') as full:
        assert 'output' in fail(1, '-s', server.path, *words, stdout=full)
