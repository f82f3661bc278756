# SPDX-License-Identifier: MIT
"""The one exception of this package."""


class VmError(Exception):
    """Something that the reader can act on; str() is one or more whole sentences."""
