#!/usr/bin/env -S python3 -I
# SPDX-License-Identifier: MIT
"""A renderer that draws nothing, for tests of the daemon: it keeps the rules of protocol/broker.h,
or breaks the one that the name of its vGPU says (the part before the first '-').

With --probe it prints ALIQUOT_MOCK_PROBE, or fails in the way that this variable names.
"""

import argparse
import array
import mmap
import os
import select
import signal
import socket
import struct
import sys
import time

READY, SERVE, DONE = 1, 2, 3
VERSION = 2
SOFTWARE = ('{"gpus": [{"id": "software", "gl_renderer": "mock"}], "auto": "software",'
            ' "why": "a mock"}')

WORK_RING_BYTES = 128 + 2048 * 32 + 256  # struct work_ring

# 5 in bucket 10, 2 in the last one; sum and maximum in nanoseconds.
LATENCY = (*(0,) * 10, 5, *(0,) * 16, 2, 200_004_500_000, 100_000_000_000)


def message(kind, text=b'', version=VERSION, text_len=None):
    length = len(text) if text_len is None else text_len
    return struct.pack('=HHIII', version, kind, length, 0, 0) + text


def publish(fd, **counters):
    """Fills struct broker_stats."""
    names = ('resources', 'resource_bytes', 'contexts', 'commands', 'submits', 'fences', 'rejected',
             'flushes', 'mapped_blobs', 'vulkan_contexts')
    with mmap.mmap(fd, 4096) as page:
        page[:8] = struct.pack('=II', counters.get('connected', 0), counters.get('driver_ok', 0))
        for i, name in enumerate(names):
            page[8 + 8 * i:16 + 8 * i] = struct.pack('=Q', counters.get(name, 0))
        at = 8 + 8 * len(names)
        latency = counters.get('latency', (0,) * 30)
        page[at:at + 8 * len(latency)] = struct.pack(f'={len(latency)}Q', *latency)


def publish_vulkan(fd, slot, *counters):
    """Fills a slot of struct layer_memory: memory_bytes, submits, batches, refused, devices."""
    with mmap.mmap(fd, 4096) as page:
        at = 256 + 128 * slot
        page[at:at + 8 * len(counters)] = struct.pack(f'={len(counters)}Q', *counters)


def work_seal(number, words):
    """The seal of a struct work_entry with those words."""
    checksum = 0
    for word in words:
        checksum = (checksum + word) % 2**64
        checksum = (checksum ^ checksum >> 30) * 0xbf58476d1ce4e5b9 % 2**64
        checksum = (checksum ^ checksum >> 27) * 0x94d049bb133111eb % 2**64
        checksum ^= checksum >> 31
    return (number + checksum) % 2**64


def publish_work(fd, slot, entries, following=0):
    """Fills a ring of struct work_rings: begin_ns, end_ns, submits. following: entries that are not
    there, but counted."""
    base = slot * WORK_RING_BYTES
    with mmap.mmap(fd, 0) as rings:
        for i, (begin_ns, end_ns, submits) in enumerate(entries):
            at = base + 128 + 32 * i
            words = (begin_ns, end_ns, submits)
            rings[at:at + 32] = struct.pack('=4Q', work_seal(i + 1, words), *words)
        rings[base:base + 8] = struct.pack('=Q', len(entries) + following)


def publish_latency(fd, slot, *words):
    """Fills a slot's struct work_latency: buckets, sum_ns, max_ns."""
    at = slot * WORK_RING_BYTES + 128 + 2048 * 32
    with mmap.mmap(fd, 0) as rings:
        rings[at:at + 8 * len(words)] = struct.pack(f'={len(words)}Q', *words)


def probe():
    answer = os.environ.get('ALIQUOT_MOCK_PROBE', SOFTWARE)
    if answer == 'fail':
        sys.exit(1)
    if answer == 'crash':
        os.abort()
    print(answer)
    sys.exit(0)


def hang(broker):
    """For as long as there is a daemon."""
    poll = select.poll()
    poll.register(broker, 0)  # hang-up only
    poll.poll()
    sys.exit(0)


def misbehave(mode, broker):
    """What each kind of bad renderer does before it would be ready. May not return."""
    if mode == 'exit':
        sys.exit(3)
    elif mode == 'crash':
        os.kill(os.getpid(), signal.SIGSEGV)
    elif mode == 'silent':
        hang(broker)
    elif mode == 'rubbish':
        broker.send(b'abc')
    elif mode == 'long':
        broker.send(b'x' * 4096)
    elif mode == 'version':
        broker.send(message(READY, b'hello', version=99))
    elif mode == 'length':
        broker.send(message(READY, b'hello', text_len=4000000000))
    elif mode == 'unknown':
        broker.send(message(77))
    elif mode == 'early':
        broker.send(message(DONE, b'before READY'))
    elif mode == 'descriptor':
        broker.sendmsg([message(READY, b'hello')],
                       [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0]))])
    elif mode == 'flood':
        try:
            while True:
                broker.send(message(READY, b'again'))
        except OSError:
            pass
    else:
        return
    hang(broker)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--probe', action='store_true')
    parser.add_argument('--verbose', action='store_true')
    for name in ('name', 'backend', 'gpu', 'size', 'scanout-by', 'max-memory', 'priority',
                 'hostmem', 'vulkan'):
        parser.add_argument('--' + name)
    for name in ('scanouts', 'broker-fd', 'stats-fd', 'memory-fd', 'work-fd', 'lease-fd'):
        parser.add_argument('--' + name, type=int)
    args = parser.parse_args()
    if args.probe:
        probe()

    broker = socket.socket(fileno=args.broker_fd)
    mode = args.name.split('-')[0]
    if mode in ('hang', 'deaf'):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    misbehave(mode, broker)

    # What the daemon must have left open, and nothing else (the last is the listing itself).
    fds = sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:-1]
    text = f'mock {args.backend} on {args.gpu} {args.size} fds {fds}'.encode()
    broker.send(message(READY, b'\x1b[31m\xff' if mode == 'ugly' else text))
    _, fds, flags, _ = socket.recv_fds(broker, 512, 1)
    if flags or len(fds) != 1:
        sys.exit(4)
    connection = socket.socket(fileno=fds[0])
    huge = 2 ** 64 - 1 if mode == 'ugly' else 0
    publish(args.stats_fd, connected=1, driver_ok=int(mode == 'running'), resources=3,
            resource_bytes=huge or 5000000, contexts=2, commands=40, submits=huge or 7, fences=6,
            rejected=1, flushes=9, latency=LATENCY, mapped_blobs=4,
            vulkan_contexts=1)
    publish_vulkan(args.memory_fd, 1, 2000000, 11, 10, 2, 1)
    publish_vulkan(args.memory_fd, 15, 1000000, 4, 4, 1, 1)
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    publish_work(args.work_fd, 0, [(now, now + 5, 3), (now + 5, now, 1), (1, now, 1)],
                 following=2 ** 64 - 4 if huge else 0)
    publish_work(args.work_fd, 7, [(now, now, 2)])
    if mode == 'vulkan':
        publish_latency(args.work_fd, 7, *[4 * (i == 3) for i in range(28)], 20000, 6000)
    elif huge:
        publish_latency(args.work_fd, 7, *[huge] * 30)

    poll = select.poll()
    poll.register(broker, select.POLLIN)
    poll.register(connection, select.POLLIN)
    while True:
        for fd, _ in poll.poll(0 if mode == 'burn' else None):
            if fd == broker.fileno():
                sys.exit(0)  # the daemon is gone
            data = connection.recv(4096)
            if data:
                connection.send(data)  # an echo shows that it was handed on unread
                continue
            if mode == 'hang':
                hang(broker)
            broker.send(message(DONE, b'the peer has closed'))
            sys.exit(0)


main()
