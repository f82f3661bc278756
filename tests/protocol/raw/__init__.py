# SPDX-License-Identifier: MIT
"""A vhost-user front-end and virtio-gpu driver made of plain bytes, for tests.

Unlike the guest library it can do everything wrong: each layer has a well-behaved call on top of
one that sends whatever it is given.

    vhost_user   messages over the socket, the start sequence as QEMU does it
    vring        guest memory in a memfd, split rings written by hand
    virtio_gpu   command and response structs
    shmem        the front-end's end of the socket for the back-end's requests
    guest        all three together: a driver that behaves
    vtest        the other protocol of the same socket: a Mesa client without Mesa
    display      the console's end of the vhost-user-gpu display socket
    renderer     an aliquot-renderer process: start, stop, measure
    neighbour    a guest on another renderer that must not notice anything
"""

# Upper bound of every wait, in seconds: far above what a sanitizer build on a busy machine needs.
WAIT = 30.0
