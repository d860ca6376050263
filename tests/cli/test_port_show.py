# SPDX-License-Identifier: BSD-3-Clause
"""`ringway port show`: against a scripted switch, and against a running one with a front-end."""

import json
import os
import re
import struct

import pytest

import front_end
from front_end import FrontEnd
from programs import the_line

KEYS = {'name', 'id', 'driver', 'mode', 'path', 'connected', 'link', 'features', 'features_hex',
        'protocol_features', 'mtu', 'mac', 'status', 'memory', 'rings', 'backend_channel', 'iotlb',
        'log', 'inflight', 'postcopy', 'policy', 'vlans', 'bridge', 'tpid', 'log_suppressed',
        'unlogged', 'announced', 'postcopy_allowed', 'device_state_allowed',
        'config_space_allowed', 'budgets', 'down', 'memory_files', 'helper'}
RING_KEYS = {'worker', 'memory_node', 'far_off', 'index', 'direction', 'format', 'size', 'state',
    'avail', 'avail_wrap', 'used',
             'used_wrap', 'call', 'events', 'big_endian', 'logged', 'inflight'}


@pytest.fixture
def daemon(launch, place):
    return launch(f'--socket-path={place}/vm1.sock', '--port', f'vm2,socket={place}/x,mode=client')


@pytest.fixture
def connect(daemon, place):
    """connect() is a front-end at vm1."""
    attached = []

    def attach():
        attached.append(FrontEnd(f'{place}/vm1.sock'))
        return attached[-1]

    yield attach
    for one in attached:
        one.socket.close()


def show(daemon, name='vm1'):
    done = daemon.cli('port', 'show', name, '--json')
    assert (done.returncode, done.stderr) == (0, '')
    port = json.loads(done.stdout)
    assert set(port) == KEYS
    for ring in port['rings']:
        assert set(ring) == RING_KEYS
    return port


def page(daemon, name='vm1'):
    """The facts by name, and the rows of the tables as words."""
    done = daemon.cli('port', 'show', name)
    assert (done.returncode, done.stderr) == (0, '')
    head, *tables = done.stdout.split('\n\n')
    facts = dict(re.split(r' {2,}', line, maxsplit=1)
                 for line in re.sub(r'\n +', ' ', head).splitlines())
    return facts, [[line.split() for line in table.splitlines()] for table in tables]


def test_an_unknown_port_is_a_failure(daemon):
    done = daemon.cli('port', 'show', 'vm9')
    assert (done.returncode, done.stdout) == (1, '')
    assert the_line(done.stderr) == 'ringway: there is no port "vm9"'


def test_a_port_must_be_named(daemon):
    done = daemon.cli('port', 'show')
    assert (done.returncode, done.stdout) == (2, '')
    assert 'port show NAME' in the_line(done.stderr)


def test_budgets_are_shown_and_can_be_set(daemon, place):
    """What a front-end may take: used, limit, the most there ever was, refusals."""
    before = show(daemon)['budgets']
    assert set(before) == {'fds', 'mappings', 'mapped', 'slots', 'iotlb', 'scratch', 'addresses'}
    for name, budget in before.items():
        assert set(budget) == {'used', 'limit', 'high', 'refused', 'bytes'}
        assert (budget['used'], budget['refused']) == (0, 0)
    assert (before['slots']['limit'], before['addresses']['limit']) == (509, None)
    done = daemon.cli('port', 'set', 'vm1', 'max-fds=77', 'max-mapped=16G', 'max-addresses=5')
    assert (done.stdout, done.stderr) == ('port vm1 has changed\n', '')
    after = show(daemon)['budgets']
    assert after['fds']['limit'] == 77
    assert after['mapped'] == {'used': 0, 'limit': 16 << 30, 'high': 0, 'refused': 0,
                               'bytes': True}
    assert after['addresses']['limit'] == 5
    assert after['slots'] == before['slots']
    assert daemon.cli('port', 'add', 'vm3', f'socket={place}/vm3.sock',
                      'max-slots=8').returncode == 0
    assert show(daemon, 'vm3')['budgets']['slots']['limit'] == 8
    _, (budgets,) = page(daemon, 'vm1')
    assert budgets[0] == ['BUDGET', 'USED', 'LIMIT', 'MOST', 'REFUSED']
    assert ['fds', '0', '77', '0', '0'] in budgets
    assert ['mapped', '0', '16', 'GiB', '0', '0'] in budgets
    assert daemon.cli('port', 'set', 'vm1', 'max-fds=0').returncode == 1


def test_a_limit_below_what_is_used_holds_for_what_comes_next(daemon, connect):
    one = connect()
    one.negotiate(front_end.VERSION_1)
    one.share_memory(3)
    assert show(daemon)['budgets']['slots']['used'] == 3
    assert show(daemon)['budgets']['fds']['used'] >= 4
    done = daemon.cli('port', 'set', 'vm1', 'max-slots=1')
    assert done.stdout == ('port vm1 has changed\nnote: 3 slots are used and stay, the limit of 1 '
                           'holds for what comes next\n')
    assert len(show(daemon)['memory']) == 3
    one.socket.close()
    assert wait_for(daemon, lambda port: not port['budgets']['fds']['used'])


def test_a_port_without_a_front_end(daemon, place):
    port = show(daemon)
    del port['budgets']
    assert port == {
        'name': 'vm1', 'id': 0, 'driver': 'vhost', 'mode': 'server', 'path': f'{place}/vm1.sock',
        'connected': False, 'link': False, 'features': [], 'features_hex': None,
        'protocol_features': [], 'mtu': None, 'mac': None, 'status': [], 'memory': [], 'rings': [],
        'backend_channel': False, 'iotlb': None, 'log': None, 'inflight': None,
        'postcopy': 'none', 'policy': {}, 'vlans': None, 'bridge': 'default',
        'tpid': '8021q', 'log_suppressed': 0, 'unlogged': 0, 'announced': 0,
        'postcopy_allowed': False, 'device_state_allowed': False,
        'config_space_allowed': False,
        'down': None, 'memory_files': 'shared',
        'helper': {'jobs': 0, 'fds': 0, 'mappings': 0, 'mapped': 0, 'signals': False,
                   'signalled': 0, 'slow_signals': 0}}
    facts, tables = page(daemon, 'vm2')
    assert facts == {'port': f'vm2 (vhost client, {place}/x)', 'front-end': 'none, link down',
                     'down because': f'cannot connect to {place}/x: nobody listens there yet'}
    assert len(tables) == 1, 'budgets'


def test_a_front_end_that_has_said_nothing(daemon, connect):
    one = connect()
    assert one.ask_u64(front_end.GET_FEATURES) >> front_end.PROTOCOL_FEATURES & 1
    port = show(daemon)
    assert port['connected'] is True
    assert (port['features'], port['features_hex']) == ([], '0x0')
    assert (port['memory'], port['rings'], port['protocol_features']) == ([], [], [])
    assert port['log'] == {'active': False, 'size': 0, 'buffers': False, 'rings': 0,
                           'pages_marked': 0}


def test_what_was_negotiated_is_shown_by_name(daemon, connect):
    one = connect()
    one.negotiate(front_end.VERSION_1, front_end.MRG_RXBUF)
    one.u64(front_end.NET_SET_MTU, 9000)
    one.u64(front_end.SET_STATUS, 0xf)
    port = show(daemon)
    assert port['features'] == ['VIRTIO_NET_F_MRG_RXBUF', 'VHOST_USER_F_PROTOCOL_FEATURES',
                                'VIRTIO_F_VERSION_1']
    assert port['features_hex'] == '0x140008000'
    assert port['protocol_features'] == ['REPLY_ACK', 'NET_MTU', 'STATUS']
    assert port['mtu'] == 9000
    assert port['status'] == ['ACKNOWLEDGE', 'DRIVER', 'DRIVER_OK', 'FEATURES_OK']
    facts, _ = page(daemon)
    assert facts['virtio features'] == ' '.join(port['features'])
    assert facts['protocol features'] == 'REPLY_ACK NET_MTU STATUS'
    assert facts['device status'] == 'ACKNOWLEDGE DRIVER DRIVER_OK FEATURES_OK'
    assert facts['MTU'] == '9000'


def test_every_feature_that_is_offered_has_a_name(daemon, connect):
    one = connect()
    offered = one.ask_u64(front_end.GET_FEATURES)
    names = [bit for bit in range(64) if offered >> bit & 1]
    # An IOMMU wants a channel before rings run, and there are none.
    one.negotiate(*[bit for bit in names if bit != front_end.PROTOCOL_FEATURES])
    port = show(daemon)
    assert len(port['features']) == len(names)
    assert not [name for name in port['features'] if name.startswith('bit ')]
    assert port['iotlb'] == {'entries': 0}


def test_memory_is_shown_region_by_region(daemon, connect):
    one = connect()
    one.negotiate(front_end.VERSION_1)
    one.share_memory(3)
    assert show(daemon)['memory'] == [
        {'gpa': hex(i * front_end.REGION), 'size': front_end.REGION,
         'uva': hex(front_end.USER + i * front_end.REGION)} for i in range(3)]
    _, (_, memory, _) = page(daemon)
    assert memory[1] == ['0x0', '1', 'MiB', '0x7f0000000000']
    assert len(memory) == 4


def wait_for(daemon, wanted):
    """The port, once `wanted` is true of it: workers take their time."""
    for _ in range(200):
        port = show(daemon)
        if wanted(port):
            return port
    return pytest.fail(f'it does not come: {port}')


def states(port):
    return [ring['state'] for ring in port['rings']]


@pytest.mark.parametrize('packed', [False, True], ids=['split', 'packed'])
def test_rings_are_shown_with_state_and_position(daemon, connect, packed):
    """Ring 0 runs, ring 1 polls for calls, ring 2 is disabled, ring 3 has stopped."""
    one = connect()
    one.negotiate(front_end.VERSION_1, front_end.EVENT_IDX,
                  *([front_end.RING_PACKED] if packed else []))
    one.share_memory()
    for ring in range(4):
        one.start_ring(ring, enable=ring != 2)
    one.u64(front_end.SET_VRING_CALL, 1 | front_end.NO_FD)
    assert one.stop_ring(3) == (0x80008000 if packed else 0)
    # Packed: entry 7 in an even lap, both ways.
    one.ring(front_end.SET_VRING_BASE, 3, 7 << 16 | 7 if packed else 7)
    port = show(daemon)
    assert port['link'] is True
    rings = port['rings']
    assert [ring['index'] for ring in rings] == [0, 1, 2, 3]
    assert [ring['direction'] for ring in rings] == ['tx', 'rx'] * 2
    assert states(port) == ['enabled', 'enabled', 'disabled', 'stopped']
    assert [ring['call'] for ring in rings] == ['eventfd', 'none', 'eventfd', 'eventfd']
    assert {ring['format'] for ring in rings} == {'packed' if packed else 'split'}
    assert {ring['size'] for ring in rings} == {front_end.RING_SIZE}
    assert {ring['events'] for ring in rings} == {'index'}
    places = [tuple(ring[key] for key in ('avail', 'avail_wrap', 'used', 'used_wrap'))
              for ring in rings]
    assert places[:2] == [(0, 1, 0, 1) if packed else (0, None, 0, None)] * 2
    assert places[3] == ((7, 0, 7, 0) if packed else (7, None, None, None))
    for ring in rings:
        assert (ring['big_endian'], ring['logged'], ring['inflight']) == (False, False, False)


def test_a_ring_that_moves_is_shown_where_it_is(daemon, connect):
    """A chain of one descriptor, too short for a frame: it is taken and given back."""
    one = connect()
    one.negotiate(front_end.VERSION_1)
    one.share_memory()
    one.start_ring(1)
    at = front_end.RING_ROOM
    one.memory[at:at + 16] = struct.pack('=QIHH', 0x80000, 14, 0, 0)
    one.memory[at + front_end.AVAIL + 2:at + front_end.AVAIL + 4] = struct.pack('=H', 1)
    one.kick(1)
    port = wait_for(daemon, lambda port: port['rings'][1]['used'] == 1)
    assert port['rings'][1]['avail'] == 1


def test_a_ring_that_lies_is_broken(daemon, connect):
    one = connect()
    one.negotiate(front_end.VERSION_1)
    one.share_memory()
    one.start_ring(1)
    at = front_end.RING_ROOM + front_end.AVAIL
    one.memory[at + 2:at + 4] = struct.pack('=H', front_end.RING_SIZE + 1)
    one.kick(1)
    wait_for(daemon, lambda port: states(port)[1] == 'broken')


def test_a_ring_that_lacks_something_is_incomplete(daemon, connect):
    one = connect()
    one.negotiate(front_end.VERSION_1)
    one.share_memory()
    one.give_eventfd(front_end.SET_VRING_KICK, 0)
    one.ring(front_end.SET_VRING_ENABLE, 0, 1)
    port = show(daemon)
    assert (states(port), port['rings'][0]['size']) == (['incomplete'], 0)
    one.describe_ring(0)
    assert states(show(daemon)) == ['enabled']


def test_a_ring_behind_an_iommu_waits_for_its_translation(daemon, connect):
    one = connect()
    one.negotiate(front_end.VERSION_1, front_end.ACCESS_PLATFORM,
                  protocol=[front_end.PF_BACKEND_REQ])
    one.share_memory()
    with one.open_channel():
        one.start_ring(1, start=0x10000000)
        port = show(daemon)
        assert states(port) == ['stopped', 'waiting']
        assert (port['iotlb'], port['backend_channel']) == ({'entries': 0}, True)
        one.map_iova(0x10000000, front_end.REGION, front_end.USER)
        port = show(daemon)
        assert states(port) == ['stopped', 'enabled']
        assert port['iotlb'] == {'entries': 1}
        facts, _ = page(daemon)
        assert (facts['IOTLB entries'], facts['back-end channel']) == ('1', 'open')


def test_the_dirty_log_is_shown_while_it_is_kept(daemon, connect):
    one = connect()
    one.negotiate(front_end.VERSION_1, protocol=[front_end.PF_LOG_SHMFD])
    one.share_memory()
    one.start_ring(0)
    one.start_ring(1)
    fd = os.memfd_create('log')
    os.ftruncate(fd, 4096)
    one.ask(front_end.SET_LOG_BASE, struct.pack('=QQ', 4096, 0), [fd])
    os.close(fd)
    assert show(daemon)['log'] == {'active': False, 'size': 4096, 'buffers': False, 'rings': 0,
                                   'pages_marked': 0}
    one.u64(front_end.SET_FEATURES, front_end.bits(
        front_end.PROTOCOL_FEATURES, front_end.VERSION_1, front_end.LOG_ALL))
    one.describe_ring(1, flags=front_end.LOG_RING)
    port = show(daemon)
    assert 'VHOST_F_LOG_ALL' in port['features']
    marked = port['log'].pop('pages_marked')
    assert marked >= 0
    assert port['log'] == {'active': True, 'size': 4096, 'buffers': True, 'rings': 1}
    assert [ring['logged'] for ring in port['rings']] == [False, True]
    assert states(port) == ['enabled', 'enabled']


def test_an_in_flight_buffer_is_shown(daemon, connect):
    one = connect()
    one.negotiate(front_end.VERSION_1, protocol=[front_end.PF_INFLIGHT_SHMFD])
    one.share_memory()
    size, = struct.unpack_from('=Q', one.ask(
        front_end.GET_INFLIGHT_FD, struct.pack('=QQHH', 0, 0, 1, front_end.RING_SIZE)))
    assert size > 0
    one.start_ring(0)
    one.start_ring(1)
    port = show(daemon)
    assert port['inflight'] == {'size': size, 'rings': 1, 'ring_size': front_end.RING_SIZE}
    assert [ring['inflight'] for ring in port['rings']] == [True, False]


def test_a_foreign_byte_order_is_shown(daemon, connect):
    one = connect()
    one.negotiate(protocol=[front_end.PF_CROSS_ENDIAN])
    one.share_memory()
    one.ring(front_end.SET_VRING_ENDIAN, 0, 1)
    one.start_ring(0)
    ring, = show(daemon)['rings']
    assert (ring['state'], ring['big_endian']) == ('enabled', True)


def test_the_page_has_a_row_for_each_ring(daemon, connect):
    one = connect()
    one.negotiate(front_end.VERSION_1, front_end.RING_PACKED)
    one.share_memory()
    one.start_ring(0)
    one.start_ring(1)
    facts, (_, _, rings) = page(daemon)
    assert facts['front-end'] == 'connected, link up'
    for name in 'MAC', 'back-end channel', 'IOTLB entries', 'dirty log', 'in-flight bytes':
        assert facts[name] == '-'
    assert rings[0][:5] == ['RING', 'DIRECTION', 'FORMAT', 'SIZE', 'STATE']
    assert rings[1] == ['0', 'tx', 'packed', '256', 'enabled', '0/1', '0/1', 'eventfd',
                        'flags', 'little', 'no', '-']
    assert [row[1] for row in rings[1:]] == ['tx', 'rx']


def test_what_was_shown_is_gone_with_the_front_end(daemon, connect):
    one = connect()
    one.negotiate(front_end.VERSION_1)
    one.share_memory()
    one.socket.close()
    port = wait_for(daemon, lambda port: not port['connected'])
    assert (port['features'], port['memory'], port['features_hex']) == ([], [], None)


def test_a_policy_is_shown_by_its_keys(daemon):
    assert show(daemon)['policy'] == {}
    assert daemon.cli('port', 'set', 'vm1', 'admin=down', 'isolated=on').returncode == 0
    port = show(daemon)
    assert port['policy'] == {'admin': 'down', 'isolated': True}
    assert not port['link']
    assert re.search(r'^policy +(admin=down\n +isolated=on|isolated=on\n +admin=down)$',
                     daemon.cli('port', 'show', 'vm1').stdout, re.M)
