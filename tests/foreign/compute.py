# SPDX-License-Identifier: MIT
"""Programs of others that compute with Vulkan, what they have to say, and what they say on the same
driver without us."""

import os
import re
import subprocess

SOFTWARE = {'VK_DRIVER_FILES': '/usr/share/vulkan/icd.d/lvp_icd.json'}

# libplacebo scales with compute shaders (that keep a window of the picture in shared memory) where
# the device has them; ffmpeg prints a sum of each picture.
PICTURES = ['ffmpeg', '-hide_banner', '-nostdin', '-nostats', '-loglevel', 'verbose',
            '-init_hw_device', 'vulkan=vk:0', '-filter_hw_device', 'vk',
            '-f', 'lavfi', '-i', 'testsrc=size=160x120:rate=5:duration=1,format=yuv420p',
            '-vf', 'libplacebo=w=240:h=180:upscaler=ewa_lanczos,format=yuv420p',
            '-f', 'framemd5', '-']

# ggml has matrix products computed by Vulkan and by its own code on the CPU, and compares them.
KERNELS = ['env', 'GGML_VK_VISIBLE_DEVICES=0',  # also if it is a CPU
           '/usr/libexec/x86_64-linux-gnu/ggml/test-backend-ops', 'test', '-b', 'Vulkan0',
           '-o', 'MUL_MAT', '-p', 'type_a=(f32|f16|q4_0),type_b=f32,m=16,n=1,']


def quiet(command):
    """The same without what would get between the lines of its result."""
    return ['error' if word == 'verbose' else word for word in command]


def pictures(output):
    """The sums, one a picture."""
    return re.findall(r'^0, .*, ([0-9a-f]{32})$', output, re.M)


def kernels(output):
    """{name with parameters: "OK", "FAIL", "not supported …"}."""
    plain = re.sub(r'\x1b\[[0-9;]*m', '', output)
    return dict(re.findall(r'^\s*(MUL_MAT\(.*\)): (.*?)\s*$', plain, re.M))


def native(command, timeout):
    """What a program prints on the software driver; it must succeed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith('VK_')}
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                            env=env | SOFTWARE, timeout=timeout, check=False)
    said = result.stdout + result.stderr
    assert result.returncode == 0 and 'llvmpipe' in said and 'Venus' not in said, said
    return said
