# SPDX-License-Identifier: MIT
"""virtio-gpu commands and responses as bytes (virtio 1.3, section 5.7)."""

import struct
from dataclasses import dataclass

F_VIRGL = 0
F_EDID = 1
F_RESOURCE_UUID = 2
F_RESOURCE_BLOB = 3
F_CONTEXT_INIT = 4

CONTROL, CURSOR = 0, 1  # queues

GET_DISPLAY_INFO = 0x0100
RESOURCE_CREATE_2D = 0x0101
RESOURCE_UNREF = 0x0102
SET_SCANOUT = 0x0103
RESOURCE_FLUSH = 0x0104
TRANSFER_TO_HOST_2D = 0x0105
RESOURCE_ATTACH_BACKING = 0x0106
RESOURCE_DETACH_BACKING = 0x0107
GET_CAPSET_INFO = 0x0108
GET_CAPSET = 0x0109
GET_EDID = 0x010A
RESOURCE_ASSIGN_UUID = 0x010B
RESOURCE_CREATE_BLOB = 0x010C
SET_SCANOUT_BLOB = 0x010D
CTX_CREATE = 0x0200
CTX_DESTROY = 0x0201
CTX_ATTACH_RESOURCE = 0x0202
CTX_DETACH_RESOURCE = 0x0203
RESOURCE_CREATE_3D = 0x0204
TRANSFER_TO_HOST_3D = 0x0205
TRANSFER_FROM_HOST_3D = 0x0206
SUBMIT_3D = 0x0207
RESOURCE_MAP_BLOB = 0x0208
RESOURCE_UNMAP_BLOB = 0x0209
UPDATE_CURSOR = 0x0300
MOVE_CURSOR = 0x0301

OK_NODATA = 0x1100
OK_DISPLAY_INFO = 0x1101
OK_CAPSET_INFO = 0x1102
OK_CAPSET = 0x1103
OK_EDID = 0x1104
OK_RESOURCE_UUID = 0x1105
OK_MAP_INFO = 0x1106
ERR_UNSPEC = 0x1200
ERR_OUT_OF_MEMORY = 0x1201
ERR_INVALID_SCANOUT_ID = 0x1202
ERR_INVALID_RESOURCE_ID = 0x1203
ERR_INVALID_CONTEXT_ID = 0x1204
ERR_INVALID_PARAMETER = 0x1205

RESPONSE_NAMES = {value: name for name, value in list(globals().items())
                  if name.startswith(('OK_', 'ERR_'))}

FLAG_FENCE = 1 << 0
FLAG_INFO_RING_IDX = 1 << 1

MAX_SCANOUTS = 16
B8G8R8A8, B8G8R8X8, A8R8G8B8, X8R8G8B8, R8G8B8A8 = 1, 2, 3, 4, 67

HDR = struct.Struct('<IIQIB3x')
HDR_BYTES = HDR.size
assert HDR_BYTES == 24


def hdr(kind, flags=0, fence_id=0, ctx_id=0, ring_idx=0):
    return HDR.pack(kind, flags, fence_id, ctx_id, ring_idx)


def fenced(command, fence_id, ring_idx=None):
    """The same command with a fence, on the device's timeline or one of its context's rings."""
    kind, flags, _, ctx_id, _ = HDR.unpack_from(command)
    flags |= FLAG_FENCE
    if ring_idx is not None:
        flags |= FLAG_INFO_RING_IDX
    return hdr(kind, flags, fence_id, ctx_id, ring_idx or 0) + command[HDR_BYTES:]


def get_display_info():
    return hdr(GET_DISPLAY_INFO)


def get_edid(scanout=0):
    return hdr(GET_EDID) + struct.pack('<II', scanout, 0)


def create_2d(resource, width, height, fmt=B8G8R8X8):
    return hdr(RESOURCE_CREATE_2D) + struct.pack('<IIII', resource, fmt, width, height)


def unref(resource):
    return hdr(RESOURCE_UNREF) + struct.pack('<II', resource, 0)


def attach_backing(resource, entries, count=None):
    """entries: (address, length) pairs; count: what the command claims, if not their number."""
    head = struct.pack('<II', resource, len(entries) if count is None else count)
    return (hdr(RESOURCE_ATTACH_BACKING) + head
            + b''.join(struct.pack('<QII', addr, length, 0) for addr, length in entries))


def detach_backing(resource):
    return hdr(RESOURCE_DETACH_BACKING) + struct.pack('<II', resource, 0)


def set_scanout(scanout, resource, x, y, width, height):
    return hdr(SET_SCANOUT) + struct.pack('<6I', x, y, width, height, scanout, resource)


def flush(resource, x, y, width, height):
    return hdr(RESOURCE_FLUSH) + struct.pack('<6I', x, y, width, height, resource, 0)


def transfer_2d(resource, x, y, width, height, offset=0):
    return hdr(TRANSFER_TO_HOST_2D) + struct.pack('<4IQII', x, y, width, height, offset,
                                                  resource, 0)


def assign_uuid(resource):
    return hdr(RESOURCE_ASSIGN_UUID) + struct.pack('<II', resource, 0)


def get_capset_info(index):
    return hdr(GET_CAPSET_INFO) + struct.pack('<II', index, 0)


def get_capset(capset, version):
    return hdr(GET_CAPSET) + struct.pack('<II', capset, version)


def ctx_create(ctx, name=b'test', context_init=0, name_len=None):
    length = len(name) if name_len is None else name_len
    return hdr(CTX_CREATE, ctx_id=ctx) + struct.pack('<II64s', length, context_init, name)


def ctx_destroy(ctx):
    return hdr(CTX_DESTROY, ctx_id=ctx)


def ctx_attach(ctx, resource):
    return hdr(CTX_ATTACH_RESOURCE, ctx_id=ctx) + struct.pack('<II', resource, 0)


def ctx_detach(ctx, resource):
    return hdr(CTX_DETACH_RESOURCE, ctx_id=ctx) + struct.pack('<II', resource, 0)


TARGET_BUFFER, TARGET_2D, TARGET_3D = 0, 2, 3
BIND_RENDER_TARGET, BIND_SAMPLER_VIEW, BIND_VERTEX_BUFFER = 1 << 1, 1 << 3, 1 << 4


def create_3d(resource, width, height, depth=1, array_size=1, target=TARGET_2D, fmt=B8G8R8A8,
              bind=BIND_RENDER_TARGET, last_level=0, nr_samples=0, flags=0):
    return hdr(RESOURCE_CREATE_3D) + struct.pack(
        '<12I', resource, target, fmt, bind, width, height, depth, array_size, last_level,
        nr_samples, flags, 0)


def transfer_3d(ctx, resource, box, offset=0, level=0, stride=0, layer_stride=0, to_host=True):
    """box: x, y, z, width, height, depth"""
    kind = TRANSFER_TO_HOST_3D if to_host else TRANSFER_FROM_HOST_3D
    return hdr(kind, ctx_id=ctx) + struct.pack('<6IQIIII', *box, offset, resource, level, stride,
                                               layer_stride)


BLOB_GUEST, BLOB_HOST3D, BLOB_HOST3D_GUEST = 1, 2, 3
BLOB_MAPPABLE, BLOB_SHAREABLE, BLOB_CROSS_DEVICE = 1, 2, 4
MAP_CACHED = 1


def create_blob(ctx, resource, size, blob_id=0, mem=BLOB_HOST3D, flags=BLOB_MAPPABLE, entries=(),
                count=None):
    """entries: (address, length) pairs; count: what the command claims, if not their number."""
    return (hdr(RESOURCE_CREATE_BLOB, ctx_id=ctx)
            + struct.pack('<4IQQ', resource, mem, flags, len(entries) if count is None else count,
                          blob_id, size)
            + b''.join(struct.pack('<QII', addr, length, 0) for addr, length in entries))


def map_blob(resource, offset):
    return hdr(RESOURCE_MAP_BLOB) + struct.pack('<IIQ', resource, 0, offset)


def unmap_blob(resource):
    return hdr(RESOURCE_UNMAP_BLOB) + struct.pack('<II', resource, 0)


def set_scanout_blob(scanout, resource, rect, width, height, stride, offset=0, fmt=B8G8R8X8):
    """rect: x, y, width, height of what is shown of the picture"""
    return hdr(SET_SCANOUT_BLOB) + struct.pack('<10I', *rect, scanout, resource, width, height, fmt,
                                               0) + struct.pack('<8I', stride, 0, 0, 0, offset,
                                                                0, 0, 0)


def submit_3d(ctx, stream, size=None):
    """size: what the command claims, if not the stream's length."""
    return (hdr(SUBMIT_3D, ctx_id=ctx)
            + struct.pack('<II', len(stream) if size is None else size, 0) + stream)


def update_cursor(scanout, resource, x=0, y=0, hot_x=0, hot_y=0):
    return hdr(UPDATE_CURSOR) + struct.pack('<8I', scanout, x, y, 0, resource, hot_x, hot_y, 0)


def move_cursor(scanout, x, y, resource=0):
    return hdr(MOVE_CURSOR) + struct.pack('<8I', scanout, x, y, 0, resource, 0, 0, 0)


# One well-formed example of each command: name → (queue, bytes). Ids are those that a test has
# to make first, where it wants success.
EXAMPLES = {
    'GET_DISPLAY_INFO': (CONTROL, get_display_info()),
    'GET_EDID': (CONTROL, get_edid(0)),
    'RESOURCE_CREATE_2D': (CONTROL, create_2d(900, 16, 16)),
    'RESOURCE_UNREF': (CONTROL, unref(901)),
    'SET_SCANOUT': (CONTROL, set_scanout(0, 0, 0, 0, 0, 0)),
    'RESOURCE_FLUSH': (CONTROL, flush(1, 0, 0, 1, 1)),
    'TRANSFER_TO_HOST_2D': (CONTROL, transfer_2d(1, 0, 0, 1, 1)),
    'RESOURCE_ATTACH_BACKING': (CONTROL, attach_backing(902, [(0x40000000, 4096)] * 2)),
    'RESOURCE_DETACH_BACKING': (CONTROL, detach_backing(902)),
    'RESOURCE_ASSIGN_UUID': (CONTROL, assign_uuid(1)),
    'GET_CAPSET_INFO': (CONTROL, get_capset_info(0)),
    'GET_CAPSET': (CONTROL, get_capset(2, 0)),
    'CTX_CREATE': (CONTROL, ctx_create(900)),
    'CTX_DESTROY': (CONTROL, ctx_destroy(901)),
    'CTX_ATTACH_RESOURCE': (CONTROL, ctx_attach(1, 1)),
    'CTX_DETACH_RESOURCE': (CONTROL, ctx_detach(1, 1)),
    'RESOURCE_CREATE_3D': (CONTROL, create_3d(903, 16, 16)),
    'TRANSFER_TO_HOST_3D': (CONTROL, transfer_3d(1, 1, (0, 0, 0, 1, 1, 1))),
    'TRANSFER_FROM_HOST_3D': (CONTROL, transfer_3d(1, 1, (0, 0, 0, 1, 1, 1), to_host=False)),
    'SUBMIT_3D': (CONTROL, submit_3d(1, bytes(16))),
    'RESOURCE_CREATE_BLOB': (CONTROL, create_blob(0, 904, 4096, mem=BLOB_GUEST,
                                                  entries=[(0x40000000, 4096)])),
    'SET_SCANOUT_BLOB': (CONTROL, set_scanout_blob(0, 0, (0, 0, 0, 0), 0, 0, 0)),
    'RESOURCE_MAP_BLOB': (CONTROL, map_blob(901, 0)),
    'RESOURCE_UNMAP_BLOB': (CONTROL, unmap_blob(901)),
    'UPDATE_CURSOR': (CURSOR, update_cursor(0, 0)),
    'MOVE_CURSOR': (CURSOR, move_cursor(0, 1, 1)),
}


@dataclass
class Response:
    """What came back in the writable part of a chain."""
    raw: bytes  # as many bytes as the device says it wrote

    def __post_init__(self):
        head = self.raw[:HDR_BYTES].ljust(HDR_BYTES, b'\0')
        self.kind, self.flags, self.fence_id, self.ctx_id, self.ring_idx = HDR.unpack(head)
        self.body = self.raw[HDR_BYTES:]

    @property
    def name(self):
        return RESPONSE_NAMES.get(self.kind, hex(self.kind)) if self.raw else 'nothing'

    def __repr__(self):
        return f'<{self.name}, {len(self.raw)} bytes>'


@dataclass
class Mode:
    """One scan-out of an OK_DISPLAY_INFO."""
    x: int
    y: int
    width: int
    height: int
    enabled: int
    flags: int


DISPLAY_INFO_BYTES = HDR_BYTES + MAX_SCANOUTS * 24
EDID_RESPONSE_BYTES = HDR_BYTES + 8 + 1024


def modes(response):
    """The scan-outs of an OK_DISPLAY_INFO."""
    assert len(response.raw) == DISPLAY_INFO_BYTES, response
    return [Mode(*struct.unpack_from('<6I', response.body, 24 * i)) for i in range(MAX_SCANOUTS)]


def edid(response):
    """The EDID blob of an OK_EDID."""
    size, _ = struct.unpack_from('<II', response.body)
    assert size <= 1024
    return response.body[8:8 + size]
