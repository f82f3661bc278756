# SPDX-License-Identifier: MIT
"""usage: python -m raw.vtest_frames SOCKET SEED

A vtest client to be killed: draws frame after frame, each cut somewhere, so that it is in the middle
of a message most of the time. Says "+" once it is at work."""

import random
import sys

from . import vtest as vt
from .vtest import Client, message


def frame(handle):
    return (message(vt.SUBMIT_CMD, bytes(4000)) + vt.shared(vt.TRANSFER_PUT2, handle) +
            vt.shared(vt.TRANSFER_GET2, handle) + vt.busy_wait(handle, True))


def main(path, seed):
    choice = random.Random(seed)
    client = Client(path, version=choice.choice([2, 3, 4]))
    handle, _ = client.create_mapped()
    for other in range(2, 10):
        client.create_mapped(other, 1 << 20, 512, 512)
    client.settle()
    print('+', end='', flush=True)
    while True:
        data = frame(handle)
        cut = choice.randrange(len(data))
        client.send(data[:cut])
        client.send(data[cut:])
        client.read(12)


if __name__ == '__main__':
    main(*sys.argv[1:])
