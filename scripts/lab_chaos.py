# SPDX-License-Identifier: BSD-3-Clause
"""scripts/migration-lab --chaos: something is killed at a step of a migration. And the guest?"""

import time

from guest import GuestError
from qmp import QmpError

SWITCH, SOURCE, DESTINATION = 'switch', 'source', 'destination'
# Bytes per second, and the ms in which QEMU must be able to send the rest: a first pass, passes
# that do not end while the guest writes, and the end.
FIRST = {'max-bandwidth': 16 << 20, 'downtime-limit': 1}
SLOW = {'max-bandwidth': 1 << 20}
FAST = {'max-bandwidth': 1 << 30, 'downtime-limit': 2000}
STEPS = ('before', 'first pass', 'later pass', 'after')
POSTCOPY = 'postcopy'
ENDS = ('completed', 'failed', 'cancelled', 'postcopy-paused')
END_S, FLOW_S = 60, 60


def steps(args):
    """Those of a migration, in their order."""
    return (*STEPS[:3], POSTCOPY, STEPS[3]) if args.postcopy else STEPS


def scenarios(args):
    """(victim, step) of each; only our own switch can be started again."""
    victims = (SWITCH, SOURCE, DESTINATION) if args.backend == 'ringway' else (SOURCE, DESTINATION)
    return [(victim, step) for victim in victims for step in steps(args)]


def go_to(lab, step):
    """Begins a migration and returns it at this step, or None if none has begun."""
    lab.places.open()
    if step == 'before':
        return None
    migration = lab.places.begin(lab.args.postcopy, **FIRST)
    migration.wait_status('active')
    if step == 'first pass':
        return migration
    migration.wait_first_pass()
    migration.tune(**(FAST if step == 'after' else SLOW))
    if lab.args.postcopy and step in (POSTCOPY, 'after'):
        if step == POSTCOPY:
            migration.tune(**{'max-postcopy-bandwidth': SLOW['max-bandwidth']})
        migration.start_postcopy()
        migration.wait_status('postcopy-active' if step == POSTCOPY else 'completed')
    elif step == 'after':
        migration.wait_status('completed')
    return migration


def state(guest):
    """'running' and so on of the guest's QEMU, or None if that is not there."""
    try:
        return guest.qmp('query-status')['status'] if guest.is_running() else None
    except (QmpError, OSError):
        return None


def wait_end(source):
    """How the migration ended: a status of QEMU, or 'source gone'."""
    deadline = time.monotonic() + END_S
    status = None
    while time.monotonic() < deadline:
        try:
            status = source.qmp('query-migrate').get('status', 'none')
        except (QmpError, OSError):
            return 'source gone'
        if status in ENDS:
            break
        time.sleep(0.1)
    return status


def strike(lab, victim):
    if victim == SWITCH:
        lab.restart_switch()
    elif victim == SOURCE:
        lab.places.here.kill()
    else:
        lab.places.there.kill()


def settle(lab, migration):
    """Lets the migration end, if there is one; returns its status and where the guest runs."""
    source, destination = lab.places.here, lab.places.there
    status = 'not begun'
    if migration and source.is_running():
        try:
            migration.tune(**FAST)
        except (QmpError, OSError):
            pass
        status = wait_end(source)
    elif migration:
        status = 'source gone'
    deadline = time.monotonic() + END_S
    while time.monotonic() < deadline:
        for guest in source, destination:
            if state(guest) == 'running':
                return status, guest
        if not source.is_running() and not destination.is_running():
            break
        if status == 'postcopy-paused' or state(destination) is None:
            break
        time.sleep(0.1)
    return status, None


def scenario(lab, victim, step):
    """One row of the report."""
    before = lab.stream.wait_flow()
    lab.stream.take_gaps()
    migration = go_to(lab, step)
    strike(lab, victim)
    status, guest = settle(lab, migration)
    if step == 'after':
        status = 'completed'
    row = {'victim': victim, 'step': step, 'migration': status, 'runs_at': None, 'talks': False}
    if guest is None:
        return row
    row['runs_at'] = guest.name
    if guest is lab.places.there:
        lab.places.here.kill()
        lab.places.here, lab.places.there = guest, lab.places.here
    else:
        lab.places.there.kill()
    lab.stream.mover = guest
    try:
        guest.wait_boot()
        lab.watch(before, lab.stream.wait_flow(FLOW_S), row)
        row['talks'] = True
    except GuestError as error:
        row['complaint'] = str(error)
    return row


def is_expected(row):
    """Nobody but a guest whose own QEMU was killed is lost, and whoever lives talks."""
    if row['runs_at']:
        return row['talks'] and not any(row['wrong'].values())
    if row['victim'] == SOURCE:
        return row['step'] != 'after'
    # In postcopy the switch has pages of the guest to wait for.
    return row['step'] == POSTCOPY or row['victim'] == DESTINATION and row['step'] == 'after'


def run(lab, tell):
    """All scenarios; tell(row) after each. The guest boots anew where it was lost."""
    rows = []
    for victim, step in scenarios(lab.args):
        rows.append(scenario(lab, victim, step))
        tell(rows[-1])
        if not rows[-1]['talks']:
            lab.boot_again()
    return rows
