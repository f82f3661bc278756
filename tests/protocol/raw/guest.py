# SPDX-License-Identifier: MIT
"""A virtio-gpu driver over a vhost-user front-end: the well-behaved one, step by step, so that a
test can stop after any step or do the next one wrong."""

import select
import socket
import time
from dataclasses import dataclass

from . import WAIT
from . import vhost_user as vu
from . import virtio_gpu as vg
from .vhost_user import Closed, FrontEnd
from .vring import Memory, Ring

BUFFER = 8192  # bytes of a request or response buffer that is used again


@dataclass(eq=False)
class Pending:
    """A command on its way."""
    response: int  # guest-physical address
    buffers: tuple  # (request, response) if they go back to the pool
    written: int = None  # bytes, once it is done


class Guest:
    """One vGPU in use: connection, memory and both rings.

    path: the renderer's socket. num: ring entries. display: a Display to hand over, or None.
    protocol: bits to acknowledge of the vhost-user protocol features (None: what QEMU takes).
    drop: virtio feature bits not to take. shmem: a Shmem, which shows blobs, or None. start: do the
    whole start sequence at once.
    """

    def __init__(self, path, *, num=64, memory_size=8 << 20, display=None, protocol=None, drop=(),
                 shmem=None, start=True):
        self.memory = Memory(memory_size)
        self.rings = [Ring(self.memory, num), Ring(self.memory, num)]
        self.display = display
        self.protocol = protocol
        self.shmem = shmem
        self.drop = set(drop)
        self.features = 0
        self.calls = [0, 0]  # notifications seen
        self.wants_calls = True  # at each used chain; if not, the test says at which
        self.finished_chains = []  # (queue, head, bytes written) of chains that tests made
        self._flying = {}  # (queue, head) → Pending
        self.pool = []  # pairs of buffers to use again
        self.front_end = None
        try:
            self.front_end = FrontEnd(path)
            if start:
                for _, step in self.steps():
                    step()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.front_end:
            self.front_end.close()
        for ring in self.rings:
            ring.close()
        self.memory.close()
        if self.display:
            self.display.close()
        if self.shmem:
            self.shmem.close()

    # ---- the start sequence

    def steps(self):
        """All messages of connection and driver start, as (name, function) in QEMU's order."""
        return self.connect_steps() + self.start_steps()

    def connect_steps(self):
        fe = self.front_end

        def get_features():
            self.features = fe.ask_u64(vu.GET_FEATURES)

        def set_protocol_features():
            offered = fe.ask_u64(vu.GET_PROTOCOL_FEATURES)
            want = self.protocol
            if want is None:
                want = (1 << vu.P_MQ | 1 << vu.P_REPLY_ACK | 1 << vu.P_CONFIG
                        | 1 << vu.P_MEM_SLOTS)
                if self.shmem:
                    want |= self.shmem.PROTOCOL
            fe.set_protocol_features(offered & want)

        steps = [
            ('GET_FEATURES', get_features),
            ('SET_PROTOCOL_FEATURES', set_protocol_features),
            ('GET_QUEUE_NUM', lambda: fe.ask_u64(vu.GET_QUEUE_NUM)),
            ('GET_MAX_MEM_SLOTS', lambda: fe.ask_u64(vu.GET_MAX_MEM_SLOTS)),
            ('SET_OWNER', lambda: fe.tell(vu.SET_OWNER)),
        ]
        if self.shmem:
            steps += [
                ('SET_BACKEND_REQ_FD', lambda: self.shmem.hand_over(fe)),
                ('GET_SHMEM_CONFIG', lambda: self.shmem.ask_size(fe)),
            ]
        for queue, ring in enumerate(self.rings):
            steps += [
                (f'SET_VRING_CALL {queue}', lambda q=queue, r=ring: fe.tell(
                    vu.SET_VRING_CALL, vu.u64(q), [r.call_fd])),
                (f'SET_VRING_ERR {queue}', lambda q=queue, r=ring: fe.tell(
                    vu.SET_VRING_ERR, vu.u64(q), [r.err_fd])),
            ]
        return steps

    def start_steps(self, base=(0, 0), regions=None):
        """What QEMU says when the driver is ready. base: of each ring, not 0 to resume one."""
        fe = self.front_end
        regions = regions or [self.memory.region()]

        def memory():
            if fe.protocol_features & (1 << vu.P_MEM_SLOTS):
                for region in regions:
                    fe.tell(vu.ADD_MEM_REG, vu.mem_reg(region), [self.memory.fd])
            else:
                fe.tell(vu.SET_MEM_TABLE, vu.mem_table(regions), [self.memory.fd] * len(regions))

        steps = []
        if self.display and not self.display.handed_over:
            steps.append(('GPU_SET_SOCKET', lambda: self.display.hand_over(fe)))
        steps += [
            ('GET_CONFIG', lambda: fe.get_config(0, 16)),
            ('SET_FEATURES', lambda: fe.tell(vu.SET_FEATURES, vu.u64(self.wanted_features()))),
            ('memory', memory),
        ]
        for queue, ring in enumerate(self.rings):
            steps += self.ring_steps(queue, ring, base[queue])
        for queue in range(len(self.rings)):
            steps.append((f'SET_VRING_ENABLE {queue}', lambda q=queue: fe.tell(
                vu.SET_VRING_ENABLE, vu.vring_state(q, 1))))
        return steps

    def ring_steps(self, queue, ring, base=0):
        fe, uva = self.front_end, self.memory.uva_of
        return [
            (f'SET_VRING_NUM {queue}', lambda: fe.tell(
                vu.SET_VRING_NUM, vu.vring_state(queue, ring.num))),
            (f'SET_VRING_BASE {queue}', lambda: fe.tell(
                vu.SET_VRING_BASE, vu.vring_state(queue, base))),
            (f'SET_VRING_ADDR {queue}', lambda: fe.tell(vu.SET_VRING_ADDR, vu.vring_addr(
                queue, uva(ring.desc_gpa), uva(ring.used_gpa), uva(ring.avail_gpa)))),
            (f'SET_VRING_KICK {queue}', lambda: fe.tell(
                vu.SET_VRING_KICK, vu.u64(queue), [ring.kick_fd])),
            (f'SET_VRING_CALL {queue} again', lambda: fe.tell(
                vu.SET_VRING_CALL, vu.u64(queue), [ring.call_fd])),
        ]

    def wanted_features(self):
        return self.features & ~sum(1 << bit for bit in self.drop)

    def has(self, bit):
        return bool(self.wanted_features() & (1 << bit))

    def stop(self):
        """Stops both rings as QEMU does; returns their bases."""
        fe = self.front_end
        for queue in range(2):
            fe.tell(vu.SET_VRING_ENABLE, vu.vring_state(queue, 0))
        bases = tuple(fe.get_vring_base(queue) for queue in range(2))
        if fe.protocol_features & (1 << vu.P_MEM_SLOTS):
            fe.tell(vu.REM_MEM_REG, vu.mem_reg(self.memory.region()))
        return bases

    def restart(self, base=None):
        """Starts again after stop(): with base as the same driver (a paused machine goes on),
        without as a new driver with new rings."""
        if base is None:
            base = (0, 0)
            for queue, old in enumerate(self.rings):
                self.rings[queue] = Ring(self.memory, old.num)
                old.close()
            self.finished_chains, self._flying = [], {}
        for _, step in self.start_steps(base):
            step()

    # ---- commands

    def submit(self, command, queue=vg.CONTROL, into=4096, kick=True):
        """Makes a command available with into bytes for the response."""
        buffers = None
        if len(command) <= BUFFER and into <= BUFFER:
            buffers = self.pool.pop() if self.pool else (self.memory.alloc(BUFFER),
                                                         self.memory.alloc(BUFFER))
            request, response = buffers
        else:
            request, response = self.memory.alloc(len(command)), self.memory.alloc(into)
        self.memory.write(request, command)
        self.memory.write(response, b'\xee' * into)
        ring = self.rings[queue]
        head = ring.add([(request, len(command))] if command else [],
                        [(response, into)] if into else [])
        pending = self._flying[queue, head] = Pending(response, buffers)
        if kick:
            ring.kick()
        return pending

    def finish(self, pending):
        """Waits for a command's end; returns its Response."""
        self.wait(lambda: pending.written is not None)
        response = vg.Response(self.memory.read(pending.response, pending.written))
        if pending.buffers:
            self.pool.append(pending.buffers)
            pending.buffers = None
        return response

    def ctrl(self, command, into=4096):
        return self.finish(self.submit(command, vg.CONTROL, into))

    def cursor(self, command, into=64):
        return self.finish(self.submit(command, vg.CURSOR, into))

    def expect(self, kind, command, queue=vg.CONTROL):
        """Sends a command that must be answered with one of kind; returns the response."""
        kinds = kind if isinstance(kind, tuple) else (kind,)
        response = self.finish(self.submit(command, queue))
        wanted = ' or '.join(vg.RESPONSE_NAMES[k] for k in kinds)
        assert response.kind in kinds, f'{response} instead of {wanted}'
        return response

    def ok(self, command, queue=vg.CONTROL):
        return self.expect(vg.OK_NODATA, command, queue)

    def make_2d(self, resource, width, height, fmt=vg.B8G8R8X8, parts=1):
        """A resource with backing in parts pieces; returns their (gpa, length) list."""
        self.ok(vg.create_2d(resource, width, height, fmt))
        size = width * height * 4
        step = -(-size // parts)
        entries = [(self.memory.alloc(min(step, size - at)), min(step, size - at))
                   for at in range(0, size, step)]
        self.ok(vg.attach_backing(resource, entries))
        return entries

    # ---- waiting

    def poll(self, pending):
        """Waits for a command without its notification: round trips let the renderer run."""
        end = time.monotonic() + WAIT
        while not self.finished(pending):
            assert time.monotonic() < end, 'nothing happens'
            self.front_end.ask_u64(vu.GET_FEATURES)

    def reap(self):
        """Notes all finished chains, and asks to be told of the next."""
        for queue, ring in enumerate(self.rings):
            self._take_all(queue, ring)
            if self.wants_calls:
                ring.set_used_event(ring.last_used)
                self._take_all(queue, ring)  # those that came in between

    def _take_all(self, queue, ring):
        while (used := ring.take_used()) is not None:
            pending = self._flying.pop((queue, used[0]), None)
            if pending:
                pending.written = used[1]
            else:
                self.finished_chains.append((queue, *used))

    def finished(self, pending):
        self.reap()
        return pending.written is not None

    def pump(self, seconds=0.0):
        """Waits for one round of events and handles them; False if there was none."""
        sources = [ring.call_fd for ring in self.rings]
        sources.append(self.front_end.sock)
        if self.display and self.display.open:
            sources.append(self.display.sock)
        if self.shmem and self.shmem.open and self.shmem.serves:
            sources.append(self.shmem.sock)
        ready = select.select(sources, [], [], seconds)[0]
        for queue, ring in enumerate(self.rings):
            if ring.call_fd in ready:
                self.calls[queue] += ring.take_calls()
        if self.front_end.sock in ready:
            try:
                gone = not self.front_end.sock.recv(1, socket.MSG_PEEK)
            except ConnectionResetError:
                gone = True
            if gone:
                raise Closed
            raise AssertionError('an unexpected message of the renderer')
        if self.display and self.display.sock in ready:
            self.display.serve()
        if self.shmem and self.shmem.sock in ready:
            self.shmem.serve()
        return bool(ready)

    def wait(self, done):
        """Handles events until done() is true."""
        end = time.monotonic() + WAIT
        while True:
            self.reap()
            if done():
                return
            left = end - time.monotonic()
            assert left > 0, 'nothing happens'
            self.pump(left)
