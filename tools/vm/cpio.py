# SPDX-License-Identifier: MIT
"""Writes a cpio archive as the kernel unpacks it (newc). Needs no root, unlike cpio for devices."""

import stat


class Archive:
    """Entries are added to a binary file; close() ends the archive, not the file."""

    def __init__(self, file):
        self._file = file
        self._inode = 0
        self._directories = {""}

    def directory(self, path):
        """Adds the directory and those above it, each once."""
        path = path.strip("/")
        if path in self._directories:
            return
        self.directory(path.rpartition("/")[0])
        self._directories.add(path)
        self._entry(path, stat.S_IFDIR | 0o755, b"")

    def regular(self, path, content, mode=0o644):
        path = path.strip("/")
        self.directory(path.rpartition("/")[0])
        self._entry(path, stat.S_IFREG | mode, content)

    def symlink(self, path, target):
        path = path.strip("/")
        self.directory(path.rpartition("/")[0])
        self._entry(path, stat.S_IFLNK | 0o777, target.encode())

    def device(self, path, major, minor):
        path = path.strip("/")
        self.directory(path.rpartition("/")[0])
        self._entry(path, stat.S_IFCHR | 0o600, b"", major, minor)

    def close(self):
        self._entry("TRAILER!!!", 0, b"")

    def _entry(self, path, mode, content, major=0, minor=0):
        self._inode += 1
        name = path.encode() + b"\0"
        # inode, mode, uid, gid, links, mtime, size, device, special device, name size, check
        fields = (self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(name), 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name
        self._file.write(head + bytes(-len(head) % 4))
        self._file.write(content + bytes(-len(content) % 4))
