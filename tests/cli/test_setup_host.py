# SPDX-License-Identifier: BSD-3-Clause
"""scripts/setup-host, on a machine of files: two NUMA nodes, eight CPUs in four cores."""

import json
import os

import pytest

from programs import RINGWAY, ROOT, run, the_line

SETUP_HOST = os.path.join(ROOT, 'scripts', 'setup-host')
PAGES_2M, PAGES_1G = 2048, 1 << 20


def write(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'{text}\n', encoding='ascii')


def pool(root, node, kib, pages=0):
    folder = f'sys/devices/system/node/node{node}/hugepages/hugepages-{kib}kB'
    write(root, f'{folder}/nr_hugepages', pages)
    write(root, f'{folder}/free_hugepages', pages)


def pages_of(root, node, kib):
    return int((root / f'sys/devices/system/node/node{node}/hugepages/hugepages-{kib}kB/'
                'nr_hugepages').read_text(encoding='ascii'))


def thread(root, pid, comm, allowed, is_program=True):
    write(root, f'proc/{pid}/comm', comm)
    memory = 'VmRSS:\t100 kB\n' if is_program else ''
    write(root, f'proc/{pid}/task/{pid}/status',
          f'Name:\t{comm}\n{memory}Cpus_allowed_list:\t{allowed}')


def make_host(tmp_path):
    """CPUs 0-3 on node 0, 4-7 on node 1; 2-7 are isolated; pages on both nodes."""
    for node, cpus in (0, '0-3'), (1, '4-7'):
        folder = f'sys/devices/system/node/node{node}'
        write(tmp_path, f'{folder}/cpulist', cpus)
        write(tmp_path, f'{folder}/meminfo', f'Node {node} MemTotal: 8388608 kB\n'
              f'Node {node} MemFree: 4194304 kB')
        pool(tmp_path, node, PAGES_2M, 512)
        pool(tmp_path, node, PAGES_1G)
    write(tmp_path, 'sys/devices/system/cpu/online', '0-7')
    write(tmp_path, 'sys/devices/system/cpu/isolated', '2-7')
    for cpu in range(8):
        folder = f'sys/devices/system/cpu/cpu{cpu}'
        write(tmp_path, f'{folder}/topology/thread_siblings_list', str(cpu))
        write(tmp_path, f'{folder}/cpufreq/scaling_governor', 'performance')
    write(tmp_path, 'proc/mounts', 'none /dev/hugepages hugetlbfs rw 0 0')
    return tmp_path


@pytest.fixture
def root(tmp_path):
    return make_host(tmp_path)


def show(root, *words):
    shown = run(SETUP_HOST, f'--root={root}', *words)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def warnings(root, *words):
    return [line.removeprefix('warning: ') for line in show(root, *words).splitlines()
            if line.startswith('warning: ')]


def the_warning(root, *words):
    found = warnings(root, *words)
    assert len(found) == 1, found
    return found[0]


def test_it_shows_the_pages_and_cpus_of_each_node(root):
    shown = show(root, '--cpus=2')
    assert 'node 1: CPUs 4,5,6,7, memory 8 GiB, 4 GiB free\n' in shown
    assert '  pages of 2 MiB: 512, 512 free\n' in shown
    assert '  pages of 1 GiB: 0, 0 free\n' in shown
    assert 'hugetlbfs: /dev/hugepages\n' in shown


def test_a_worker_that_has_a_cpu_for_itself_is_worth_no_warning(root):
    assert not warnings(root, '--cpus=2-3,4')


def test_a_cpu_that_is_not_isolated(root):
    assert the_warning(root, '--cpus=1,2').startswith('CPU 1 runs other programs too')


def test_a_cpu_that_shares_its_core(root):
    write(root, 'sys/devices/system/cpu/cpu2/topology/thread_siblings_list', '2,6')
    assert the_warning(root, '--cpus=2').startswith('CPU 2 shares a core with CPU 6')


def test_a_cpu_that_is_offline(root):
    assert the_warning(root, '--cpus=8') == 'CPU 8 is not online: a worker cannot run there'


def test_a_cpu_whose_clock_changes(root):
    write(root, 'sys/devices/system/cpu/cpu3/cpufreq/scaling_governor', 'schedutil')
    assert 'governor schedutil' in the_warning(root, '--cpus=3')


def test_programs_that_are_pinned_to_a_workers_cpu(root):
    thread(root, 10, 'postgres', '2')
    thread(root, 11, 'qemu-system-x86', '3')
    thread(root, 12, 'everywhere', '0-7')
    thread(root, 13, 'ksoftirqd/2', '2', is_program=False)
    thread(root, 14, 'ringwayd', '2')
    assert the_warning(root, '--cpus=2').startswith('CPU 2 has postgres pinned to it')


def test_a_machine_without_huge_pages(root):
    for node in 0, 1:
        pool(root, node, PAGES_2M)
    assert the_warning(root, '--cpus=2').startswith('no huge pages')


def test_a_workers_node_without_huge_pages(root):
    pool(root, 1, PAGES_2M)
    assert not warnings(root, '--cpus=2')
    assert the_warning(root, '--cpus=2,4').startswith('node 1 has workers and no huge pages')


def ringway(folder, workers):
    """A program that answers as `ringway --json worker list`."""
    program = folder / 'ringway'
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(workers)}\nEND\n", encoding='ascii')
    program.chmod(0o755)
    return f'--ringway={program}'


def test_a_guest_whose_memory_is_far_from_its_worker(root, tmp_path):
    def queue(name, far_off):
        return {'port': name, 'queue': 0, 'memory_node': int(far_off), 'far_off': far_off}

    workers = [{'cpu': 2, 'node': 0, 'polled': [queue('vm1', False), queue('vm2', True)]}]
    line = the_warning(root, ringway(tmp_path, workers))
    assert line.startswith("port vm2 queue 0: the guest's memory is on node 1, its worker on CPU 2")


def test_the_workers_of_a_running_switch_are_judged(launch, place):
    switch = launch(f'--socket-path={place}/vm1')
    shown = run(SETUP_HOST, f'--control={switch.control}', f'--ringway={RINGWAY}')
    assert shown.returncode == 0, shown.stderr
    workers = json.loads(switch.cli('worker', 'list', '--json').stdout)
    cpus = [str(worker['cpu']) for worker in workers]
    assert f'workers: CPU {",".join(cpus)}\n' in shown.stdout


def test_no_switch_where_one_is_said_to_be(root, tmp_path):
    shown = run(SETUP_HOST, f'--root={root}', f'--control={tmp_path}/none', '--ringway=/bin/false')
    assert shown.returncode == 1
    assert the_line(shown.stderr).startswith('setup-host: no switch answers on ')


def test_pages_are_spread_over_the_nodes(root):
    assert show(root, '--huge=701') == ('set node 0: 351 pages of 2 MiB\n'
                                        'set node 1: 350 pages of 2 MiB\n')
    assert [pages_of(root, node, PAGES_2M) for node in (0, 1)] == [351, 350]


def test_pages_of_a_size_on_a_node(root):
    show(root, '--huge=3:1G@1', '--huge=100:2M@0')
    assert [pages_of(root, node, PAGES_1G) for node in (0, 1)] == [0, 3]
    assert [pages_of(root, node, PAGES_2M) for node in (0, 1)] == [100, 512]


def test_a_dry_run_sets_nothing(root):
    assert show(root, '--huge=9@1', '--dry-run') == 'would set node 1: 9 pages of 2 MiB\n'
    assert pages_of(root, 1, PAGES_2M) == 512


@pytest.mark.parametrize('words, complaint', (
    (['--huge=4:16M'], 'this machine has no pages of 16 MiB; it has pages of 2 MiB, 1 GiB'),
    (['--huge=4@7'], 'there is no NUMA node 7; there are 0,1'),
    # The first one is good: nothing is set before all have been looked at.
    (['--huge=4@0', '--huge=4@7'], 'there is no NUMA node 7; there are 0,1'),
))
def test_pages_that_cannot_be(root, words, complaint):
    refused = run(SETUP_HOST, f'--root={root}', *words)
    assert refused.returncode == 1
    assert the_line(refused.stderr) == f'setup-host: {complaint}'
    assert pages_of(root, 0, PAGES_2M) == 512


@pytest.mark.parametrize('word', ('--huge=x', '--huge=1:2T', '--huge=1@', '--cpus=a', '--cpus=1-'))
def test_an_argument_that_is_none(root, word):
    refused = run(SETUP_HOST, f'--root={root}', word)
    assert refused.returncode == 2
    assert 'for instance' in refused.stderr
