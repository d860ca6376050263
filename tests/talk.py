# SPDX-License-Identifier: BSD-3-Clause
"""Guests that talk while something happens to them or to the switch."""

import re

PING_S = 0.05
# For what is under way when a guest pauses, and the first answers after that.
SPARE_S = 1
MEBIBYTES = 8


class Ping:
    """`sender` pings `receiver` from now on until counted.

    Where the sender has moved, `sender` is to be the guest that it is now.
    """

    def __init__(self, sender, receiver):
        self.sender = sender
        self.file = f'/tmp/pings-{receiver.name}'
        sender.check(f'ping -i {PING_S} {receiver.ip} >{self.file} 2>&1 & echo $! >{self.file}.pid')

    def count(self):
        """(sent, answered, the most in a row without an answer)"""
        self.sender.check(f'kill -INT $(cat {self.file}.pid)')
        self.sender.check(f'until grep -q transmitted {self.file}; do usleep 10000; done')
        found = re.search(r'(\d+) packets transmitted, (\d+) packets received',
                          self.sender.check(f'tail -n 3 {self.file}'))
        sent, answered = int(found[1]), int(found[2])
        numbers = [int(number) for number in
                   self.sender.check(f"sed -n 's/.*seq=\\([0-9]*\\).*/\\1/p' {self.file}").split()]
        assert len(numbers) == len(set(numbers)) == answered, 'an answer came twice'
        places = [-1, *sorted(numbers), sent]
        return sent, answered, max(b - a for a, b in zip(places, places[1:])) - 1


def start_transfers(*pairs):
    """Data from the first to the second of each pair; returns the SHA-256 sums."""
    sums = [sender.make_data(MEBIBYTES) for sender, _ in pairs]
    for _, receiver in pairs:
        receiver.listen(5001)
    for sender, receiver in pairs:
        sender.check(f'nc {receiver.ip} 5001 </tmp/data >/dev/null 2>&1 &')
    return sums
