# SPDX-License-Identifier: BSD-3-Clause
"""The live migration of a guest from one port of a switch to another, and back."""

import time

from guest import GuestError, qemu_says, wait_until

# A migration takes 1 to 3 s on an idle machine.
MIGRATION_S = 300
POLL_S = 0.1


def newest_machine(programs):
    """The machine for a guest that moves between these QEMUs: the newest q35 that all have."""
    if len(set(programs)) == 1:
        return 'q35'
    found = []
    for program in programs:
        names = [line.split()[0] for line in qemu_says(program, '-M', 'help').splitlines() if line]
        found.append({name for name in names if name.startswith('pc-q35-')})
    common = set.intersection(*found)
    if not common:
        raise GuestError(f'{" and ".join(programs)} have no version of the machine q35 in common')
    return max(common, key=lambda name: [int(part) for part in name.split('-')[2].split('.')])


class Migration:
    """`source` moves to `destination`, a QEMU that waits for it; it begins at once.

    parameters are those of QMP's migrate-set-parameters.
    """

    def __init__(self, source, destination, postcopy=False, **parameters):
        self.source = source
        self.destination = destination
        # How long the guest ran nowhere; known at the end.
        self.pause_s = None
        # What QEMU says at the end of it, and the most pages that the guest dirtied in a second.
        self.result = None
        self.dirty_pages_per_s = 0
        uri = f'unix:{destination.path("migration")}'
        if postcopy:
            for guest in destination, source:
                guest.qmp('migrate-set-capabilities',
                          capabilities=[{'capability': 'postcopy-ram', 'state': True}])
        self.tune(**parameters)
        destination.qmp('migrate-incoming', uri=uri)
        source.qmp('migrate', uri=uri)

    def tune(self, **parameters):
        self.source.qmp('migrate-set-parameters', **parameters)

    def info(self):
        info = self.source.qmp('query-migrate')
        if info.get('status') == 'failed':
            raise GuestError(f'{self.source.name}: the migration failed: '
                             f'{info.get("error-desc")}, see {self.destination.path("qemu.log")}')
        rate = info.get('ram', {}).get('dirty-pages-rate', 0)
        self.dirty_pages_per_s = max(self.dirty_pages_per_s, rate)
        return info

    def status(self):
        return self.info().get('status')

    def wait_status(self, status):
        wait_until(lambda: self.status() == status, MIGRATION_S,
                   f'{self.source.name}: the migration does not become {status}')

    def wait_first_pass(self):
        """Returns when all memory was sent once: now only what changes is sent again."""
        wait_until(lambda: self.info().get('ram', {}).get('dirty-sync-count', 0) >= 2, MIGRATION_S,
                   f'{self.source.name}: no end of the first pass over its memory')

    def start_postcopy(self):
        """The guest goes on at its destination before all of its memory is there."""
        self.wait_status('active')
        self.source.qmp('migrate-start-postcopy')

    def watch(self, look, timeout):
        """Calls look() now and then until the migration is complete."""
        deadline = time.monotonic() + timeout
        while self.status() != 'completed':
            if time.monotonic() > deadline:
                raise GuestError(f'{self.source.name}: no end of the migration in {timeout} s: '
                                 'more memory changes than is sent')
            look()
            time.sleep(POLL_S)

    def finish(self):
        """Returns when the guest runs at its destination, and all of its memory is there."""
        self.wait_status('completed')
        self.result = self.info()
        wait_until(lambda: self.destination.qmp('query-status')['status'] == 'running',
                   MIGRATION_S, f'{self.destination.name} does not run')
        self.pause_s = self.destination.wait_event('RESUME') - self.source.wait_event('STOP')
        self.source.kill()
        self.destination.wait_boot()

    def cancel(self):
        """The guest stays, and the QEMU at its destination ends."""
        self.source.qmp('migrate_cancel')
        self.wait_status('cancelled')
        self.destination.kill()

    def kill_destination(self):
        """The guest stays."""
        self.destination.kill()
        wait_until(lambda: self.source.qmp('query-migrate').get('status') == 'failed', MIGRATION_S,
                   f'{self.source.name}: nobody notices that the destination is gone')


class Places:
    """One guest, and the two ports where it runs in turn: `here` now, `there` next.

    guests: a Guest for each; the first one boots. images: as for Guest.start().
    """

    def __init__(self, guests, images):
        self.here, self.there = guests
        self.images = images

    def boot(self):
        self.here.incoming = False
        self.here.start(*self.images)
        self.here.wait_boot()

    def open(self):
        """A QEMU waits for the guest at the other place."""
        if self.there.is_running():
            return
        self.there.incoming = True
        self.there.start(*self.images)
        self.there.wait_monitor()

    def begin(self, postcopy=False, **parameters):
        return Migration(self.here, self.there, postcopy, **parameters)

    def finish(self, migration):
        """The guest is at the other place, which is `here` from now on."""
        migration.finish()
        self.here, self.there = self.there, self.here

    def kill(self):
        for guest in self.here, self.there:
            guest.kill()
