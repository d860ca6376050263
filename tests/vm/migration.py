# SPDX-License-Identifier: BSD-3-Clause
"""The live migration of a guest from one port of a switch to another."""

from guest import GuestError, wait_until

# A migration takes 1 to 3 s on an idle machine.
MIGRATION_S = 60


class Migration:
    """`source` moves to `destination`, a QEMU that waits for it; it begins at once.

    parameters are those of QMP's migrate-set-parameters.
    """

    def __init__(self, source, destination, postcopy=False, **parameters):
        self.source = source
        self.destination = destination
        # How long the guest ran nowhere; known at the end.
        self.pause_s = None
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
        return info

    def wait_status(self, status):
        wait_until(lambda: self.info().get('status') == status, MIGRATION_S,
                   f'{self.source.name}: the migration does not become {status}')

    def wait_first_pass(self):
        """Returns when all memory was sent once: now only what changes is sent again."""
        wait_until(lambda: self.info().get('ram', {}).get('dirty-sync-count', 0) >= 2, MIGRATION_S,
                   f'{self.source.name}: no end of the first pass over its memory')

    def finish(self):
        """Returns when the guest runs at its destination, and all of its memory is there."""
        self.wait_status('completed')
        wait_until(lambda: self.destination.qmp('query-status')['status'] == 'running',
                   MIGRATION_S, f'{self.destination.name} does not run')
        self.pause_s = self.destination.wait_event('RESUME') - self.source.wait_event('STOP')
        self.source.kill()
        self.destination.wait_boot()
