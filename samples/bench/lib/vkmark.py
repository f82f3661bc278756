# SPDX-License-Identifier: MIT
"""vkmark, off-screen: its scenes, and one run of one."""

import re
import shutil
import subprocess

from lib.environment import Failed
from lib.workloads import TIMEOUT, run_program

SIZE = '800x600'
# Its images are dma-bufs otherwise, which a software GPU has only with udmabuf. Each is then copied
# into a buffer by the GPU before it is shown; natively it would be without a copy, as lavapipe's
# images are linear, so that both are told to go this one way.
ENVIRONMENT = {'MESA_VK_WSI_DEBUG': 'sw,buffer'}
SECONDS_MIN = 0.2  # less is no frame of some scenes


def missing():
    """Why there is no vkmark; None if there is."""
    return None if shutil.which('vkmark') else 'vkmark is missing (package vkmark)'


def known_scenes():
    listing = subprocess.run(['vkmark', '--list-scenes'], capture_output=True, text=True,
                             check=True, timeout=TIMEOUT).stdout
    return re.findall(r'^\[Scene\] (\w+)$', listing, re.M)


def run_scene(env, scene, seconds, timeout=TIMEOUT):
    """Frames a second."""
    seconds = max(seconds, SECONDS_MIN)
    said = run_program(['vkmark', '--winsys', 'headless', '--size', SIZE, '-b',
                        f'{scene}:duration={seconds}'], env | ENVIRONMENT, seconds, timeout)
    match = re.search(r'FPS: ([1-9]\d*)', said)
    if not match:
        raise Failed('vkmark drew nothing')
    return float(match[1])
