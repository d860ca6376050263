# SPDX-License-Identifier: BSD-3-Clause
"""How ringwayd starts, owns its files and ends."""

import grp
import json
import os
import resource
import signal
import socket
import stat
import struct
import sys
import time

import pytest

from programs import AS_NOBODY, NOBODY, RINGWAYD, run, the_line


def is_socket(path):
    return stat.S_ISSOCK(os.stat(path).st_mode)


def wait_until(happens):
    deadline = time.monotonic() + 10
    while not happens() and time.monotonic() < deadline:
        time.sleep(0.01)
    return happens()


@pytest.mark.parametrize('sig', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_with_status_0_and_its_files_removed(launch, place, sig):
    paths = [f'{place}/vm{i}.sock' for i in range(2)]
    daemon = launch(f'--socket-path={paths[0]}', '--port', f'b,socket={paths[1]},mode=server')
    with open(daemon.pidfile, encoding='ascii') as pidfile:
        assert pidfile.read() == f'{daemon.process.pid}\n'
    for path in (*paths, daemon.control):
        assert is_socket(path)
    assert daemon.stop(sig) == 0
    for path in (*paths, daemon.control, daemon.pidfile):
        assert not os.path.lexists(path)


def test_it_survives_a_hangup_under_nohup(launch, place):
    daemon = launch(f'--socket-path={place}/vm.sock',
                    preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.cli('version').returncode == 0
    assert daemon.process.poll() is None
    assert daemon.stop() == 0


def test_it_ends_in_time_while_front_ends_are_connected(launch, place):
    daemon = launch(f'--socket-path={place}/vm.sock')
    with socket.socket(socket.AF_UNIX) as front_end, socket.socket(socket.AF_UNIX) as client:
        front_end.connect(f'{place}/vm.sock')
        front_end.send(b'\1\0\0')
        client.connect(daemon.control)
        client.send(b'{"jsonrpc"')
        assert daemon.stop() == 0


def test_it_stays_in_the_foreground_and_prints_nothing_on_standard_output(place):
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, 'wb') as out, os.fdopen(read_end, 'rb') as seen:
        done = run('timeout', '--preserve-status', '-s', 'TERM', '1', RINGWAYD, '--no-huge',
                   f'--socket-path={place}/a', f'--control={place}/c', stdout=out)
        out.close()
        assert done.returncode == 0, done.stderr
        assert seen.read() == b''


def test_a_stale_socket_is_replaced(launch, place):
    for name in 'vm.sock', 'd0':
        with socket.socket(socket.AF_UNIX) as left_over:
            left_over.bind(f'{place}/{name}')
    os.unlink(f'{place}/d0')
    daemon = launch(f'--socket-path={place}/vm.sock')
    with socket.socket(socket.AF_UNIX) as front_end:
        front_end.connect(f'{place}/vm.sock')
    assert daemon.stop() == 0


def test_it_starts_again_after_a_kill(launch, place):
    daemon = launch(f'--socket-path={place}/vm.sock')
    daemon.kill()
    # Its helper removes what it made; without that, the next start does.
    assert wait_until(lambda: not os.listdir(daemon.folder) or os.listdir(daemon.folder) == ['log'])
    assert not os.path.lexists(f'{place}/vm.sock')
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f'{place}/vm.sock')
    assert launch(f'--socket-path={place}/vm.sock').stop() == 0


@pytest.mark.parametrize('words', [
    ['--socket-path={place}/live', '--control={place}/c'],
    ['--socket-path={place}/vm', '--control={place}/live'],
])
def test_a_socket_of_a_live_process_is_refused_and_left_alone(place, words):
    words = [word.format(place=place) for word in words]
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(f'{place}/live')
        live.listen(5)
        done = run(RINGWAYD, '--no-huge', *words)
        assert done.returncode == 2, done.stderr
        line = the_line(done.stderr)
        assert f'{place}/live' in line
        assert 'running process' in line
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f'{place}/live')
    assert os.listdir(place) == ['live']


def test_a_file_that_is_no_socket_is_refused_and_left_alone(place):
    with open(f'{place}/notes', 'w', encoding='ascii') as notes:
        notes.write('keep me')
    done = run(RINGWAYD, '--no-huge', f'--socket-path={place}/notes', f'--control={place}/c')
    assert done.returncode == 2
    assert 'not a socket' in the_line(done.stderr)
    with open(f'{place}/notes', encoding='ascii') as notes:
        assert notes.read() == 'keep me'


def test_a_pid_file_that_cannot_be_written_is_refused(place):
    os.mkdir(f'{place}/pid')
    done = run(RINGWAYD, '--no-huge', f'--socket-path={place}/vm', f'--control={place}/c',
               f'--pidfile={place}/pid')
    assert done.returncode == 2
    assert f'{place}/pid' in the_line(done.stderr)
    assert os.listdir(place) == ['pid']


def start_with_pid_file(place, path, **options):
    """A second daemon, which must not start; its one line."""
    done = run(RINGWAYD, '--no-huge', f'--socket-path={place}/second', '--control=none',
               f'--pidfile={path}', **options)
    assert done.returncode == 2, done.stderr
    assert not os.path.lexists(f'{place}/second')
    line = the_line(done.stderr)
    assert f'--pidfile={path}: ' in line
    return line


def test_the_pid_file_of_a_running_daemon_is_left_alone(launch, place):
    daemon = launch(f'--socket-path={place}/vm.sock')
    line = start_with_pid_file(place, daemon.pidfile)
    assert f'process {daemon.process.pid}, which is running' in line
    with open(daemon.pidfile, encoding='ascii') as pidfile:
        assert pidfile.read() == f'{daemon.process.pid}\n'
    assert daemon.stop() == 0
    assert not os.path.lexists(daemon.pidfile)


def test_a_pid_file_that_a_dead_daemon_left_is_taken_over(launch, place):
    daemon = launch(f'--socket-path={place}/vm.sock')
    daemon.kill()
    second = run('timeout', '--preserve-status', '-s', 'TERM', '1', RINGWAYD, '--no-huge',
                 f'--socket-path={place}/vm.sock', '--control=none', f'--pidfile={daemon.pidfile}')
    assert second.returncode == 0, second.stderr
    assert not os.path.lexists(daemon.pidfile)


@pytest.mark.parametrize('make, why', [
    (lambda path: os.symlink(f'{path}.target', path), 'symbolic link'),
    (lambda path: os.link(f'{path}.target', path), 'somebody else'),
    (lambda path: os.rename(f'{path}.target', path), 'something else than a process id'),
    (os.mkfifo, 'not a regular file'),
])
def test_a_pid_file_that_is_somebody_elses_is_refused_and_left_alone(place, make, why):
    path = f'{place}/pid'
    with open(f'{path}.target', 'w', encoding='ascii') as target:
        target.write('12 reasons\n')
    make(path)
    before = os.lstat(path)
    assert why in start_with_pid_file(place, path)
    after = os.lstat(path)
    assert (after.st_ino, after.st_size, after.st_nlink) == (before.st_ino, before.st_size,
                                                             before.st_nlink)


def test_a_pid_file_of_another_user_is_refused(place):
    if os.geteuid():
        pytest.skip('only root can give a file away')
    with open(f'{place}/pid', 'w', encoding='ascii') as pidfile:
        pidfile.write('1\n')
    os.chown(f'{place}/pid', NOBODY.pw_uid, NOBODY.pw_gid)
    assert 'somebody else' in start_with_pid_file(place, f'{place}/pid')


def test_a_pid_file_that_was_replaced_is_not_removed(launch, place):
    daemon = launch(f'--socket-path={place}/vm.sock')
    os.unlink(daemon.pidfile)
    with open(daemon.pidfile, 'w', encoding='ascii') as other:
        other.write('4711\n')
    assert daemon.stop() == 0
    with open(daemon.pidfile, encoding='ascii') as other:
        assert other.read() == '4711\n'


def test_a_full_disk_leaves_no_empty_pid_file(place):
    def no_room():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    done = run(RINGWAYD, '--no-huge', f'--socket-path={place}/vm', '--control=none',
               f'--pidfile={place}/pid', preexec_fn=no_room)
    assert done.returncode == 2, done.stderr
    # EAL notices it, too, and goes on.
    assert f'--pidfile={place}/pid: File too large' in done.stderr.splitlines()[-1]
    assert os.listdir(place) == []


def test_an_inherited_connection_and_an_inherited_listener_are_served(launch, place):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        daemon = launch(f'--fd={theirs.fileno()}', pass_fds=[theirs.fileno()])
        row, = json.loads(daemon.cli('port', 'list', '--json').stdout)
        assert (row['name'], row['mode']) == (f'fd{theirs.fileno()}', 'fd')
        assert daemon.stop() == 0
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f'{place}/l')
        listener.listen(1)
        daemon = launch(f'--fd={listener.fileno()}', pass_fds=[listener.fileno()])
        with socket.socket(socket.AF_UNIX) as front_end:
            front_end.connect(f'{place}/l')
        assert daemon.stop() == 0


GET_FEATURES = 1
# vhost-user: request, flags (version 1), bytes of payload.
HEADER = struct.Struct('=III')


def ask_features(front_end):
    """What a back-end on this socket offers."""
    front_end.settimeout(5)
    front_end.sendall(HEADER.pack(GET_FEATURES, 1, 0))
    reply = front_end.recv(HEADER.size + 8, socket.MSG_WAITALL)
    assert HEADER.unpack(reply[:HEADER.size]) == (GET_FEATURES, 1 | 4, 8)
    return int.from_bytes(reply[HEADER.size:], sys.byteorder)


def test_it_serves_an_inherited_connection_and_ends_with_it(launch):
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            daemon = launch(f'--fd={theirs.fileno()}', pass_fds=[theirs.fileno()])
        assert ask_features(ours) >> 32 & 1, 'VERSION_1 is offered'
    assert daemon.process.wait(5) == 0
    assert not os.path.exists(daemon.pidfile)


def test_it_serves_one_front_end_after_the_other_on_an_inherited_listener(launch, place):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f'{place}/l')
        listener.listen(1)
        daemon = launch(f'--fd={listener.fileno()}', pass_fds=[listener.fileno()])
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as front_end:
            front_end.connect(f'{place}/l')
            assert ask_features(front_end)
        # The port is free again when the switch has seen the end.
        while json.loads(daemon.cli('port', 'list', '--json').stdout)[0]['connected']:
            pass
    assert daemon.stop() == 0


def test_the_limit_of_open_files_is_raised_or_worth_a_warning(launch, place):
    sockets = [f'--socket-path={place}/vm{i}.sock' for i in range(4)]
    daemon = launch(*sockets, prefix=['prlimit', '--nofile=80:80'])
    daemon.wait_until_said('want about 112 open files and the limit is 80')
    assert daemon.stop() == 0
    daemon = launch(*sockets, prefix=['prlimit', '--nofile=80:1000'])
    assert 'open files' not in daemon.wait_until_said('info: ringwayd ')
    with open(f'/proc/{daemon.process.pid}/limits', encoding='ascii') as limits:
        line, = (line for line in limits if line.startswith('Max open files'))
    assert line.split()[3:5] == ['1000', '1000']
    assert daemon.stop() == 0


def test_it_runs_without_privileges(launch, place):
    if os.geteuid():
        pytest.skip('the other tests run without privileges')
    daemon = launch(f'--socket-path={place}/vm.sock', prefix=AS_NOBODY)
    assert daemon.cli('worker', 'list', prefix=AS_NOBODY).returncode == 0
    assert daemon.stop() == 0
    assert not os.path.lexists(f'{place}/vm.sock')


def may_connect(path):
    """Whether nobody, in the group of his, may connect to `path`."""
    script = 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])'
    return not run(*AS_NOBODY, sys.executable, '-c', script, path).returncode


def test_sockets_belong_to_those_who_may_connect(launch, place):
    if os.geteuid():
        pytest.skip('only root can give a socket away')
    os.chmod(place, 0o755)
    group = grp.getgrgid(NOBODY.pw_gid).gr_name
    daemon = launch(f'--port=a,socket={place}/a', f'--port=b,socket={place}/b,socket-group={group}',
                    f'--port=c,socket={place}/c,socket-owner={NOBODY.pw_uid},socket-mode=0600',
                    '--socket-mode=0660')
    assert stat.S_IMODE(os.stat(f'{place}/a').st_mode) == 0o660
    assert not may_connect(f'{place}/a')
    assert os.stat(f'{place}/b').st_gid == NOBODY.pw_gid
    assert may_connect(f'{place}/b')
    assert os.stat(f'{place}/c').st_uid == NOBODY.pw_uid
    assert may_connect(f'{place}/c')
    # Names are known to a switch that runs, too.
    added = daemon.cli('port', 'add', 'd', f'socket={place}/d', 'socket-owner=nobody')
    assert added.returncode == 0, added.stderr
    assert may_connect(f'{place}/d')
    refused = daemon.cli('port', 'add', 'e', f'socket={place}/e', 'socket-group=no-such-group')
    assert 'port e: socket-group=no-such-group: there is no such group' in refused.stderr
    assert not may_connect(daemon.control)
    assert daemon.stop() == 0
    assert not os.path.lexists(f'{place}/c')


def test_a_second_switch_of_the_same_user_needs_a_control_socket_of_its_own_or_none(place):
    if os.geteuid():
        pytest.skip('only root can become another user')
    environment = {**os.environ, 'XDG_RUNTIME_DIR': place}
    command = ['timeout', '--preserve-status', '-s', 'TERM', '1', *AS_NOBODY, RINGWAYD, '--no-huge',
               f'--socket-path={place}/vm.sock']
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(f'{place}/ringway.sock')
        live.listen(5)
        done = run(*command, env=environment)
        assert done.returncode == 2, done.stderr
        line = the_line(done.stderr)
        assert f'no control socket at {place}/ringway.sock' in line
        assert '--control=none' in line
        assert not os.path.lexists(f'{place}/vm.sock')
        done = run(*command, '--control=none', env=environment)
    assert done.returncode == 0, done.stderr
    assert is_socket(f'{place}/ringway.sock')


def test_the_worker_runs_on_the_highest_allowed_cpu_unless_told_otherwise(launch, place):
    cpus = sorted(os.sched_getaffinity(0))

    def worker_cpus(daemon):
        return [row['cpu'] for row in json.loads(daemon.cli('worker', 'list', '--json').stdout)]

    daemon = launch(f'--socket-path={place}/a')
    assert worker_cpus(daemon) == [cpus[-1]]
    daemon.stop()
    daemon = launch(f'--socket-path={place}/a', '--cpus', str(cpus[0]))
    assert worker_cpus(daemon) == [cpus[0]]
    daemon.stop()
    daemon = launch(f'--socket-path={place}/a',
                    preexec_fn=lambda: os.sched_setaffinity(0, cpus[:1]))
    assert worker_cpus(daemon) == [cpus[0]]


def threads_on(daemon, cpu):
    """The threads of `daemon` that may run on `cpu`, but those of an emulator's own."""
    names = []
    for thread in os.listdir(f'/proc/{daemon.process.pid}/task'):
        with open(f'/proc/{daemon.process.pid}/task/{thread}/comm', encoding='ascii') as comm:
            name = comm.read().strip()
        is_ours = int(thread) == daemon.process.pid or not name.startswith('qemu-')
        if is_ours and cpu in os.sched_getaffinity(int(thread)):
            names.append(name)
    return names


def test_only_the_worker_runs_on_its_cpu_unless_there_is_no_other(launch, place):
    cpus = sorted(os.sched_getaffinity(0))
    daemon = launch(f'--socket-path={place}/vm1.sock', f'--cpus={cpus[-1]}')
    names = threads_on(daemon, cpus[-1])
    if len(cpus) > 1:
        assert len(names) == 1, names
    else:
        assert len(names) > 1, names
    assert daemon.stop() == 0
