# SPDX-License-Identifier: MIT
"""OpenGL and Vulkan: their programs, and what Mesa wants to hear to draw here or there."""

import dataclasses

from lib.daemon import BUILD

VULKAN_DRIVERS = '/usr/share/vulkan/icd.d/{}_icd.json'


@dataclasses.dataclass(frozen=True, eq=False)
class Api:
    """The dictionaries are environments; where a server is, is not in them."""
    name: str
    bench: object  # path of the program with small workloads
    load: object   # and of the one whose frames take a chosen time
    native: dict   # on the software GPU, without anybody between
    vtest: dict    # by virgl_test_server's protocol
    shim: dict     # on the render node that there is
    remote: str    # what the name of a renderer has if it is not native


GL = Api('OpenGL', BUILD / 'samples/gl-bench', BUILD / 'samples/gl-load',
         {'LIBGL_ALWAYS_SOFTWARE': '1', 'GALLIUM_DRIVER': 'llvmpipe'},
         {'LIBGL_ALWAYS_SOFTWARE': '1', 'GALLIUM_DRIVER': 'virpipe'}, {}, 'virgl (')
VULKAN = Api('Vulkan', BUILD / 'samples/vk-bench', BUILD / 'samples/vk-load',
             {'VK_DRIVER_FILES': VULKAN_DRIVERS.format('lvp')},
             {'VK_DRIVER_FILES': VULKAN_DRIVERS.format('virtio'), 'VN_DEBUG': 'vtest'},
             {'VK_DRIVER_FILES': VULKAN_DRIVERS.format('virtio')}, 'Venus')
