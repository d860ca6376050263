#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Counts the datapath's instructions per frame and compares them with the committed table.

The program `datapath` forwards bursts of 32 frames between guests in its own process; callgrind
counts the instructions of the poll rounds and nothing else. valgrind presents one and the same
CPU (with AVX2) wherever it runs, so libc's memcpy and our own copies are the same variants on any
machine that has AVX2, and a count changes only with the code or the compiler.

A row that grew by more than 3 % fails. When that is meant, update the table in the same commit.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TABLE = os.path.join(HERE, 'instructions.txt')
ROWS = [f'{ring} {row}' for ring in ('split', 'packed')
        for row in ('64 unicast', '64 random', '64 crowd', '64 policy', '64 flood', '1518 unicast',
            '1518 flood', '1514 csum', '1514 cut', '64 capture', '64 beside', '64 third',
            '64 record', '64 ring', '1518 ring', '64 null')]
ROWS += ['split 64 talkers', 'split 64 latency']
LIMIT_PERCENT = 3.0
RUN_LIMIT_S = 120
HEADER = """\
# SPDX-License-Identifier: BSD-3-Clause
# Instructions of the worker per frame taken from a guest. "random": every frame between other
# stations, of 1024 behind each guest; "crowd": beside 62 idle ports; "policy": access VLANs,
# anti-spoofing, storm control and rate limits on both ports; "flood": to eight receivers.
# "csum": the checksum is completed for the receiver; "cut": a large frame becomes 32, counted each.
# "capture": all of the sender is captured; "beside": all of a third port is, which is polled and
# idle; "third": the same, but nothing is captured: what beside costs more is due to the capture.
# "record": as "unicast" with a state directory, where packed rings have a record and split rings
# need none.
# "ring": to a host behind an uplink, a net_ring, and its answer; "null": to a net_null, and a frame
# from it, both to an address that nobody knows. "talkers", "latency": as "unicast", while these are
# counted for all ports ("sizes" and "vlans" can be measured by hand).
# Written by: tests/perf/instructions.py --update
"""


class Trouble(Exception):
    """No count could be had; the text says why."""


def run(command):
    """What a command prints, and what it complains about."""
    # Nothing of the user's may choose libc's functions.
    environment = {name: value for name, value in os.environ.items() if name != 'GLIBC_TUNABLES'}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True,
                              timeout=RUN_LIMIT_S, check=False)
    except FileNotFoundError as error:
        raise Trouble(f'{command[0]}: not found') from error
    except subprocess.TimeoutExpired as error:
        raise Trouble(f'no end after {RUN_LIMIT_S} s') from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if not line.startswith('info: ')]
        raise Trouble(lines[-1] if lines else f'exit status {done.returncode}')
    return done.stdout


def count(program, row, directory):
    """Instructions per frame."""
    profile = os.path.join(directory, row.replace(' ', '-') + '.callgrind')
    output = run(['valgrind', '-q', '--tool=callgrind', f'--callgrind-out-file={profile}',
                  '--collect-atstart=no', '--toggle-collect=round_counted', program,
                  *row.split()])
    frames = re.search(r'^frames (\d+)$', output, re.M)
    with open(profile, encoding='utf-8') as file:
        total = re.search(r'^totals: (\d+)$', file.read(), re.M)
    if not frames or not total or not int(total[1]):
        raise Trouble('nothing was counted')
    return int(total[1]) / int(frames[1])


def table_read():
    """What the table was made with, and its rows."""
    build, rows = '', {}
    if not os.path.exists(TABLE):
        return build, rows
    with open(TABLE, encoding='utf-8') as file:
        for line in file:
            words = line.split()
            if line.startswith('# Build: '):
                build = line.split(': ', 1)[1].strip()
            elif words and words[0] != '#':
                rows[' '.join(words[:-1])] = float(words[-1])
    return build, rows


def table_write(build, counts):
    with open(TABLE, 'w', encoding='utf-8') as file:
        file.write(f'{HEADER}# Build: {build}\n')
        for row, now in counts.items():
            ring, length, pattern = row.split()
            file.write(f'{ring:<7}{length:<6}{pattern:<9}{now:8.1f}\n')


def judge(row, committed, now):
    """How a row is shown, and why it is bad or None."""
    if committed is None:
        return f'{row:<22}{"-":>10}{now:10.1f}', None
    change = round(100 * (now - committed) / committed, 1) + 0.0  # no -0.0
    shown = f'{row:<22}{committed:10.1f}{now:10.1f}{change:+9.1f} %'
    if change > LIMIT_PERCENT:
        return shown + '  GREW', f'{committed:.1f} instructions per frame grew to {now:.1f}'
    return shown + ('  shrank' if change < -LIMIT_PERCENT else ''), None


def compare(program, directory, table):
    """Prints all rows. What was counted, and by row why it failed or None.

    As many are counted at a time as there are CPUs: instructions are the same, however long they
    take.
    """
    counts, results = {}, {}
    print(f'{"row":<22}{"committed":>10}{"now":>10}{"change":>11}')
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        asked = {row: pool.submit(count, program, row, directory) for row in ROWS}
        for row, counted in asked.items():
            try:
                counts[row] = counted.result()
            except Trouble as trouble:
                results[row] = str(trouble)
                print(f'{row:<22}  {trouble}', flush=True)
                continue
            shown, results[row] = judge(row, table.get(row), counts[row])
            print(shown, flush=True)
    return counts, results


def conclude(counts, results, table):
    """Prints what there is to do about it."""
    update = f'{os.path.relpath(__file__, ROOT)} --update'
    if any(reason and row in counts for row, reason in results.items()):
        print(f'More than {LIMIT_PERCENT:g} % dearer. If that is meant, run {update} '
              'and commit the table with the reason.')
    elif any(judge(row, table.get(row), now)[0].endswith('shrank')
             for row, now in counts.items()):
        print(f'More than {LIMIT_PERCENT:g} % cheaper: run {update} to keep it so.')


def report(path, results):
    """The rows for scripts/test."""
    with open(path, 'w', encoding='utf-8') as file:
        for row, (result, reason) in results.items():
            print(result, row, reason, sep='\t', file=file)


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', metavar='DIR',
                        default=os.environ.get('RINGWAY_BUILD', os.path.join(ROOT, 'build')),
                        help='build directory (%(default)s)')
    parser.add_argument('--profiles', metavar='DIR',
                        help='keep the profiles here, for callgrind_annotate')
    parser.add_argument('--rows', metavar='FILE', help='write down each row, for scripts/test')
    parser.add_argument('--update', action='store_true', help='make the table anew')
    return parser.parse_args()


def incomparable(build, made_with):
    """Why counts of this build, on this machine, say nothing about the table; or None."""
    if build != made_with:
        return f'the table is for {made_with}, this is {build}'
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        if platform.machine() == 'x86_64' and ' avx2' not in file.read():
            return 'the table is for a CPU with AVX2, this one has none'
    return None


def measure(arguments, directory):
    program = os.path.join(arguments.build, 'tests', 'perf', 'datapath')
    build = run([program, '--build']).strip()
    made_with, table = table_read()
    if not arguments.update and (not made_with or set(table) != set(ROWS)):
        raise Trouble(f'{TABLE} is not there, or not whole')
    print(f'instructions per frame, {build}')
    counts, results = compare(program, directory, table)
    if arguments.update:
        missing = [row for row in ROWS if row not in counts]
        if missing:
            raise Trouble(f'no count for {missing[0]}: the table stays as it was')
        table_write(build, counts)
        return 0
    why = incomparable(build, made_with)
    if why:
        print(f'Not compared: {why}.')
    else:
        conclude(counts, results, table)
    if arguments.rows:
        # A row that could not be counted has failed, whatever the table is for.
        report(arguments.rows, {row: ('skipped', why) if why and row in counts else
                                ('failed', reason) if reason else ('passed', '')
                                for row, reason in results.items()})
    return int(any(reason and not (why and row in counts) for row, reason in results.items()))


def main():
    arguments = parse()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            directory = arguments.profiles or scratch
            os.makedirs(directory, exist_ok=True)
            return measure(arguments, directory)
    except Trouble as trouble:
        print(f'instructions.py: {trouble}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
