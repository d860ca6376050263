#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Turns what meson, pytest and tests/perf leave behind into the rows that scripts/test counts.

usage: test_results.py meson BUILD_DIR PART   after `meson test`
       test_results.py pytest JUNIT_XML PART  after `pytest --junit-xml`
       test_results.py perf FILE PART         after `instructions.py --rows`
       test_results.py emulated BUILD_DIR PART  after `meson test` under an emulator, of what
                                                tests/emulated.txt lets start

A row is "passed|failed|skipped <tab> PART <tab> NAME <tab> REASON". Each scenario is a row, not
each program; a program that fails beside its scenarios (it crashed, it hung, a sanitizer spoke
at its end) is a row of its own.
"""

import json
import os
import sys
import xml.etree.ElementTree as ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def reason_of(element):
    """The first line that says why, without what would break the table."""
    text = element.get('message') or element.text or ''
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].replace('\t', ' ') if lines else ''


def result_of(case):
    for tag in 'failure', 'error':
        found = case.find(tag)
        if found is not None:
            return 'failed', reason_of(found)
    found = case.find('skipped')
    if found is not None:
        output = case.find('system-out')
        return 'skipped', reason_of(found) or (reason_of(output) if output is not None else '')
    return 'passed', ''


def scenario_of(case):
    """The name of a scenario, wherever cmocka and meson have put it.

    "2 - NAME", or "2 - NAME Could not run test: WHY" when the end of its fixture failed as well; of
    one that skipped itself "2", with the name beside it.
    """
    name = case.get('name').split(' Could not run test: ')[0]
    if ' - ' not in name:
        output = case.find('system-out')
        return reason_of(output) if output is not None else name
    return name.split(' - ', 1)[1]


def meson_rows(build_dir):
    logs = os.path.join(build_dir, 'meson-logs')
    scenarios = {}
    for suite in ElementTree.parse(os.path.join(logs, 'testlog.junit.xml')).iter('testsuite'):
        program = suite.get('name').split('.', 1)[1]
        scenarios[program] = [(scenario_of(case), *result_of(case))
                              for case in suite.iter('testcase')]
    with open(os.path.join(logs, 'testlog.json'), encoding='utf-8') as log:
        programs = [json.loads(line) for line in log]
    for program in programs:
        name = program['name'].split(' / ')[-1]
        rows = scenarios.get(program['name'], [])
        for scenario, result, reason in rows:
            yield result, f'{name}: {scenario}', reason
        if program['result'] == 'SKIP' and not rows:
            yield 'skipped', name, program.get('stdout', '').strip().split('\n')[-1]
        elif program['result'] not in ('OK', 'SKIP') and all(row[1] != 'failed' for row in rows):
            yield ('failed', name,
                   f'{program["result"].lower()}, exit status {program["returncode"]}')


def pytest_rows(path):
    for case in ElementTree.parse(path).iter('testcase'):
        module = case.get('classname', '').rsplit('.', 1)[-1]
        result, reason = result_of(case)
        yield result, f'{module}: {case.get("name")}' if module else case.get('name'), reason


def perf_rows(path):
    with open(path, encoding='utf-8') as file:
        for line in file:
            result, row, reason = line.rstrip('\n').split('\t')
            yield result, f'instructions per frame: {row}', reason


def left_out():
    """What tests/emulated.txt names: programs, and scenarios as "PROGRAM: SCENARIO"."""
    with open(os.path.join(ROOT, 'tests', 'emulated.txt'), encoding='utf-8') as file:
        lines = [line.strip() for line in file]
    names = {line for line in lines if line and not line.startswith('#')}
    scenarios = {name for name in names if ': ' in name}
    return names - scenarios, scenarios


def programs_of(build_dir):
    """All programs of the build, those that the emulator is to run, and those that ran."""
    suites = {'unit', 'protocol'} if os.environ.get('RINGWAY_TEST_LONG') else {'cpu'}
    with open(os.path.join(build_dir, 'meson-info', 'intro-tests.json'), encoding='utf-8') as file:
        tests = {test['name']: {suite.split(':')[-1] for suite in test['suite']}
                 for test in json.load(file)}
    wanted = {name for name, own in tests.items() if own & suites}
    with open(os.path.join(build_dir, 'meson-logs', 'testlog.json'), encoding='utf-8') as log:
        ran = {json.loads(line)['name'].split(' / ')[-1] for line in log}
    return set(tests), wanted, ran


def emulated_rows(build_dir):
    """The rows without the scenarios that are left out, which must be there and not have passed."""
    programs, scenarios = left_out()
    every, wanted, ran = programs_of(build_dir)
    seen = set(every)
    for result, name, reason in meson_rows(build_dir):
        seen.add(name)
        if name not in scenarios:
            yield result, name, reason
        elif result == 'passed':
            yield 'failed', name, 'passed, and tests/emulated.txt leaves it out'
    for name in sorted(wanted - programs - ran):
        yield 'failed', name, 'did not run'
    for name in sorted((programs | scenarios) - seen):
        if name.split(': ')[0] in every - wanted:
            continue  # a scenario of a program that only --long runs
        yield 'failed', name, 'does not exist, and tests/emulated.txt leaves it out'


READERS = {'meson': meson_rows, 'emulated': emulated_rows, 'pytest': pytest_rows,
           'perf': perf_rows}


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in READERS:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    _, kind, path, part = sys.argv
    for result, name, reason in READERS[kind](path):
        print(result, part, name, reason, sep='\t')
    return 0


if __name__ == '__main__':
    sys.exit(main())
