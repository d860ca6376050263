# SPDX-License-Identifier: BSD-3-Clause
"""A vhost-user front-end, just enough to have something to look at: it negotiates, shares memory
and starts rings, through which single frames go. What the protocol is worth is tested elsewhere.
"""

import array
import mmap
import os
import socket
import struct

VERSION = 1
NEED_REPLY = 1 << 3

GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE, SET_LOG_BASE = 1, 2, 3, 5, 6
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE = 8, 9, 10, 11
SET_VRING_KICK, SET_VRING_CALL = 12, 13
GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, SET_VRING_ENABLE, NET_SET_MTU = 15, 16, 18, 20
SET_BACKEND_REQ_FD, IOTLB_MSG, SET_VRING_ENDIAN, GET_INFLIGHT_FD, SET_STATUS = 21, 22, 23, 31, 39

MRG_RXBUF, LOG_ALL, EVENT_IDX, PROTOCOL_FEATURES = 15, 26, 29, 30
VERSION_1, ACCESS_PLATFORM, RING_PACKED = 32, 33, 34
PF_LOG_SHMFD, PF_REPLY_ACK, PF_NET_MTU, PF_BACKEND_REQ, PF_CROSS_ENDIAN = 1, 3, 4, 5, 6
PF_INFLIGHT_SHMFD, PF_STATUS = 12, 16

REGION = 1 << 20
USER = 0x7f0000000000  # where guest-physical 0 is in the address space that we claim to have
RING_SIZE = 256
RING_ROOM = 0x10000  # bytes from one ring to the next
AVAIL, USED = 0x4000, 0x8000  # in these
SENT, RECEIVED, BUFFER = 0x40000, 0x100000, 2048  # where buffers are; the latter in region 2
NET_HEADER = 12
NO_FD = 1 << 8
LOG_RING = 1


def bits(*numbers):
    return sum(1 << number for number in numbers)


class FrontEnd:
    """A connection to the back-end that listens at `path`; every message is acknowledged."""

    def __init__(self, path):
        self.memory = None
        self.kicks = {}
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(5)
        self.socket.connect(path)

    def ask(self, request, payload=b'', fds=(), flags=0):
        """Send a request; the payload of its answer."""
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
        header = struct.pack('=III', request, VERSION | flags, len(payload))
        self.socket.sendmsg([header + payload], control)
        # A descriptor that comes along is dropped: recv does not take it.
        answer = self.socket.recv(12, socket.MSG_WAITALL)
        assert len(answer) == 12, f'no answer to request {request}'
        of, _, size = struct.unpack('=III', answer)
        assert of == request
        return self.socket.recv(size, socket.MSG_WAITALL)

    def ask_u64(self, request):
        return struct.unpack('=Q', self.ask(request))[0]

    def tell(self, request, payload=b'', fds=()):
        answer = self.ask(request, payload, fds, NEED_REPLY)
        assert struct.unpack('=Q', answer)[0] == 0, f'request {request} was refused'

    def u64(self, request, value):
        self.tell(request, struct.pack('=Q', value))

    def ring(self, request, index, value):
        self.tell(request, struct.pack('=II', index, value))

    def negotiate(self, *features, protocol=()):
        """Protocol features first: they bring the acknowledgements."""
        wanted = bits(PF_REPLY_ACK, PF_NET_MTU, PF_STATUS, *protocol)
        assert self.ask_u64(GET_PROTOCOL_FEATURES) & wanted == wanted
        self.socket.sendall(struct.pack('=IIIQ', SET_PROTOCOL_FEATURES, VERSION, 8, wanted))
        self.u64(SET_FEATURES, bits(PROTOCOL_FEATURES, *features))

    def share_memory(self, nregions=1):
        """Regions of one MiB, one after the other from guest-physical 0 on."""
        fd = os.memfd_create('guest')
        os.ftruncate(fd, nregions * REGION)
        payload = struct.pack('=II', nregions, 0)
        for i in range(nregions):
            payload += struct.pack('=QQQQ', i * REGION, REGION, USER + i * REGION, i * REGION)
        self.tell(SET_MEM_TABLE, payload, [fd] * nregions)
        self.memory = mmap.mmap(fd, nregions * REGION)
        os.close(fd)

    def describe_ring(self, index, flags=0, start=USER):
        at = start + index * RING_ROOM
        self.ring(SET_VRING_NUM, index, RING_SIZE)
        self.tell(SET_VRING_ADDR, struct.pack('=IIQQQQ', index, flags, at, at + USED, at + AVAIL,
                                              index * RING_ROOM + USED))

    def give_eventfd(self, request, index):
        fd = os.eventfd(0)
        self.tell(request, struct.pack('=Q', index), [fd])
        if request == SET_VRING_KICK:
            self.kicks[index] = os.fdopen(fd, 'wb', buffering=0)
        else:
            os.close(fd)

    def kick(self, index):
        """There is something new in the ring."""
        self.kicks[index].write(struct.pack('=Q', 1))

    def available(self, index, address, length, flags):
        """One more buffer of ring `index` is the device's."""
        at = index * RING_ROOM
        count, = struct.unpack_from('=H', self.memory, at + AVAIL + 2)
        slot = count % RING_SIZE
        struct.pack_into('=QIHH', self.memory, at + 16 * slot, address, length, flags, 0)
        struct.pack_into('=H', self.memory, at + AVAIL + 4 + 2 * slot, slot)
        struct.pack_into('=H', self.memory, at + AVAIL + 2, (count + 1) % 0x10000)

    def used(self, index):
        """How many buffers of ring `index` the device has returned."""
        return struct.unpack_from('=H', self.memory, index * RING_ROOM + USED + 2)[0]

    def send(self, frame):
        """A frame on ring 1; the caller has seen that one of its buffers is free."""
        slot = struct.unpack_from('=H', self.memory, RING_ROOM + AVAIL + 2)[0] % RING_SIZE
        at = SENT + slot * BUFFER
        self.memory[at:at + NET_HEADER + len(frame)] = bytes(NET_HEADER) + frame
        self.available(1, at, NET_HEADER + len(frame), 0)
        self.kick(1)

    def post(self, n):
        """Buffers to receive into, on ring 0; `received` goes through them in order."""
        for _ in range(n):
            slot = struct.unpack_from('=H', self.memory, AVAIL + 2)[0] % RING_SIZE
            self.available(0, RECEIVED + slot * BUFFER, BUFFER, 2)

    def received(self):
        """The frames in all buffers that were used, at most a ring of them."""
        frames = []
        for slot in range(self.used(0)):
            i, length = struct.unpack_from('=II', self.memory, USED + 4 + 8 * slot)
            at = RECEIVED + i * BUFFER
            frames.append(bytes(self.memory[at + NET_HEADER:at + length]))
        return frames

    def start_ring(self, index, enable=True, **where):
        self.describe_ring(index, **where)
        self.give_eventfd(SET_VRING_CALL, index)
        self.give_eventfd(SET_VRING_KICK, index)
        self.ring(SET_VRING_ENABLE, index, int(enable))

    def stop_ring(self, index):
        """Its position, coded as in SET_VRING_BASE."""
        return struct.unpack('=II', self.ask(GET_VRING_BASE, struct.pack('=II', index, 0)))[1]

    def open_channel(self):
        """SET_BACKEND_REQ_FD; our end of it."""
        ours, theirs = socket.socketpair()
        with theirs:
            self.tell(SET_BACKEND_REQ_FD, fds=[theirs.fileno()])
        return ours

    def map_iova(self, iova, size, at):
        """IOTLB_MSG: an update, for reading and writing. It is answered in any case."""
        payload = struct.pack('=QQQBB', iova, size, at, 3, 2)
        assert struct.unpack('=Q', self.ask(IOTLB_MSG, payload))[0] == 0
