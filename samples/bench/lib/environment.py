# SPDX-License-Identifier: MIT
"""What has Mesa draw natively, through virgl_test_server's protocol, or on a vGPU."""

import os

from lib.api import GL
from lib.daemon import BUILD

SHIM = BUILD / 'guest-driver/shim/libaliquot-shim.so'


class Failed(Exception):
    """A run that gave no figure."""


def base_environment():
    """Ours, without what chooses a driver."""
    drop = ('ALIQUOT_SOCKET', 'ALIQUOT_MEMORY', 'EGL_', 'GALLIUM_', 'LD_PRELOAD', 'LIBGL_', 'LP_',
            'MESA_', 'VK_', 'VN_', 'VTEST_')
    return {name: value for name, value in os.environ.items() if not name.startswith(drop)}


def native_environment(api=GL):
    return base_environment() | api.native


def vtest_environment(socket, api=GL):
    return base_environment() | api.vtest | {'VTEST_SOCKET_NAME': str(socket)}


def shim_environment(socket, api=GL):
    return base_environment() | api.shim | {'LD_PRELOAD': str(SHIM),
                                            'ALIQUOT_SOCKET': str(socket)}


def check_renderer(native, text, api=GL):
    """That a program drew natively, or did not: Mesa falls back without a word."""
    if (api.remote in text) == native:
        raise Failed(f'drew with something else: {text.strip()[:200]}')
