# SPDX-License-Identifier: MIT
"""What has Mesa draw natively, through virgl_test_server's protocol, or on a vGPU."""

import os

from lib.daemon import BUILD

SHIM = BUILD / 'guest-driver/shim/libaliquot-shim.so'


class Failed(Exception):
    """A run that gave no figure."""


def base_environment():
    """Ours, without what chooses a driver."""
    drop = ('ALIQUOT_SOCKET', 'ALIQUOT_MEMORY', 'EGL_', 'GALLIUM_', 'LD_PRELOAD', 'LIBGL_', 'LP_',
            'MESA_', 'VTEST_')
    return {name: value for name, value in os.environ.items() if not name.startswith(drop)}


def native_environment():
    return base_environment() | {'LIBGL_ALWAYS_SOFTWARE': '1', 'GALLIUM_DRIVER': 'llvmpipe'}


def vtest_environment(socket):
    return base_environment() | {'LIBGL_ALWAYS_SOFTWARE': '1', 'GALLIUM_DRIVER': 'virpipe',
                                 'VTEST_SOCKET_NAME': str(socket)}


def shim_environment(socket):
    return base_environment() | {'LD_PRELOAD': str(SHIM), 'ALIQUOT_SOCKET': str(socket)}


def check_renderer(native, text):
    """That a program drew natively, or did not: Mesa falls back without a word."""
    if ('virgl (' in text) == native:
        raise Failed(f'drew with something else: {text.strip()[:200]}')
