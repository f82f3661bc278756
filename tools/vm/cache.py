# SPDX-License-Identifier: MIT
"""Files that are dear to make and may be made again: one directory, shared by checkouts."""

import os
import pathlib
import tempfile


def directory():
    """ALIQUOT_CACHE, else the user's cache directory."""
    path = os.environ.get("ALIQUOT_CACHE")
    if not path:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        path = os.path.join(base, "aliquot")
    path = pathlib.Path(path)
    path.mkdir(parents=True, exist_ok=True)
    return path


def store(name, write):
    """The path of `name` in the cache, made by write(binary file) unless it is there already.

    It appears whole or not at all, and two who make it at once do not disturb each other.
    """
    path = directory() / name
    if path.exists():
        return path
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{name}.", delete=False) as file:
        try:
            write(file)
            file.flush()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    return path
