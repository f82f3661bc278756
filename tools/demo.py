#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The demo: two stock guests render at once through one aliquotd, with OpenGL or Vulkan.

Leaves in the output directory what each guest drew, what its display showed, what this machine
draws itself, the logs, and summary.json. Fails if a picture is wrong. Called by ./run demo.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import signal
import sys
import time

from vm import accel, kernel, picture
from vm.error import VmError
from vm.guest import Guest, boot, vgpu_arguments, vulkan_arguments
from vm.mediator import Mediator, program
from vm.progress import heartbeat

GUESTS = ("guest-a", "guest-b")

BOOT_S = 90.0
RENDER_S = 150.0
SCREEN_S = 20.0
POWER_OFF_S = 30.0

# Frames shown on the display: enough to flip pages, few enough not to wait for.
SCREEN_FRAMES = 20

# What both scripts begin with: the guests say when they are up, and start together.
START = """
export ASAN_OPTIONS=detect_leaks=0
touch ready
until [ -e go ]; do sleep 0.1; done
"""

# gl-scene then draws off screen, and again on
# the display, where the last frame stays until the host has seen it.
SCRIPT = START + """
{scene} --platform gbm --frames {frames} --size {size} --png picture.png --json scene.json ||
    exit 1
{scene} --kms --size {size} --first-frame {screen_first} --frames {screen_frames} \\
    --json screen.json --hold 600 &
until [ -e seen ]; do
    kill -0 $! 2>/dev/null || exit 1
    sleep 0.2
done
kill $!
wait
exit 0
"""

# The guest's only Vulkan driver is Mesa's for virtio-gpu: without one the samples fail.
VULKAN_SCRIPT = START + """
export VK_DRIVER_FILES={driver}
{scene} --frames {frames} --size {size} --png picture.png --json scene.json || exit 1
{compute} --json compute.json || exit 1
"""
VULKAN_DRIVER = "/usr/share/vulkan/icd.d/virtio_icd.json"


def parse_arguments():
    parser = argparse.ArgumentParser(prog="demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--vulkan", action="store_true",
                        help="vGPUs with Vulkan and no display: vk-scene and vk-compute")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("demo-out"), metavar="DIR")
    parser.add_argument("--frames", type=int, default=120, metavar="N",
                        help="frames that each guest draws (120)")
    parser.add_argument("--size", default="640x480", metavar="WxH",
                        help="of pictures and displays (640x480)")
    arguments = parser.parse_args()
    size = re.fullmatch(r"(\d{2,4})x(\d{2,4})", arguments.size)
    if not size or not all(64 <= int(side) <= 2048 for side in size.groups()):
        parser.error("--size: two numbers from 64 to 2048, such as 640x480")
    if not 1 <= arguments.frames <= 100000:
        parser.error("--frames: a number from 1 to 100000")
    arguments.width, arguments.height = map(int, size.groups())
    return arguments


class Demo:
    """What both demos do; the rest is in the classes below."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.out = arguments.out.absolute()
        self.started = time.monotonic()
        self.accel = None
        self.reference = self.out / "reference.png"

    def seconds(self):
        return time.monotonic() - self.started

    def say(self, text):
        print(f"[{self.seconds():6.1f} s] {text}", flush=True)

    def step(self, text):
        return heartbeat(self.say, text)

    def run(self):
        """Returns the summary; raises VmError where there is nothing to summarize."""
        self.prepare()
        with contextlib.ExitStack() as stack:
            self.say("starting aliquotd with two vGPUs")
            mediator = stack.enter_context(Mediator(self.out, GUESTS, self.settings()))
            with self.step(f"booting {' and '.join(GUESTS)} ({self.accel})"):
                guests = boot(stack, [self.guest(name, mediator) for name in GUESTS], BOOT_S)
            for guest in guests:
                guest.touch("go")
            self.watch(guests)
            vgpus = mediator.list()
            with self.step("pictures taken, powering off"):
                for guest in guests:
                    guest.touch("seen")
                codes = [guest.wait(POWER_OFF_S) for guest in guests]
        self.keep_logs(guests)
        return self.summarize(guests, vgpus, codes)

    def wait_for(self, guests, file, text):
        with self.step(text):
            for guest in guests:
                guest.wait_for_file(file, RENDER_S)

    def prepare(self):
        self.out.mkdir(parents=True, exist_ok=True)
        for old in ("summary.json", "reference.png", *(f"{name}{suffix}" for name in GUESTS
                                                      for suffix in (".png", "-screen.png"))):
            (self.out / old).unlink(missing_ok=True)
        kernel.initramfs(kernel.find())
        self.accel = accel.choose()
        self.say("drawing the reference on this machine")
        picture.render_reference(self.reference, self.arguments.frames - 1, self.arguments.width,
                                 self.arguments.height, self.sample)

    def keep_logs(self, guests):
        for guest in guests:
            os.replace(guest.share / "picture.png", self.out / f"{guest.name}.png")
            os.replace(guest.console_path, self.out / f"{guest.name}-console.log")

    def summarize(self, guests, vgpus, codes):
        rows, wrong = [], []
        for guest, code in zip(guests, codes):
            row = self.summarize_guest(guest, vgpus[guest.name])
            rows.append(row)
            wrong += [f"{guest.name}: {text}" for text in self.problems(row, code)]
        contrast = picture.contrast(self.reference)
        if contrast < picture.CONTRAST_MIN:
            wrong.append(f"reference.png shows nothing (contrast {contrast:.1f}): the native picture "
                         "is no reference")
        summary = {
            "ok": not wrong,
            "problems": wrong,
            "accel": self.accel,
            "size": self.arguments.size,
            "seconds": round(self.seconds(), 1),
            "reference": self.reference.name,
            "reference_contrast": round(contrast, 2),
            "guests": rows,
        }
        (self.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        return summary

    def summarize_picture(self, guest):
        scene = json.loads((guest.share / "scene.json").read_text())
        png = f"{guest.name}.png"
        difference = picture.compare(self.out / png, self.reference)
        return {
            "name": guest.name,
            **{key: scene[key] for key in self.drew_with},
            "frames": scene["frames"],
            "fps": scene["fps"],
            "frame_ms": scene["frame_ms"],
            "png": png,
            "max_pixel_diff": difference.maximum,
            "mean_pixel_diff": round(difference.mean, 4),
            "console": f"{guest.name}-console.log",
        }

    def problems(self, row, code):
        """What is wrong with a guest, one clause each."""
        if code != 0:
            yield f"its script ended with {code}, see {row['console']}"
        if row["mean_pixel_diff"] > picture.MEAN_DIFF_MAX:
            yield f"{row['png']} differs from reference.png (mean {row['mean_pixel_diff']})"


class GlDemo(Demo):
    """gl-scene off screen, then on the guest's display, which the host looks at."""

    sample = "gl-scene"
    drew_with = ("gl_renderer", "gl_version")

    def settings(self):
        return f"size = {self.arguments.width}x{self.arguments.height}"

    def guest(self, name, mediator):
        frames = self.arguments.frames
        screen_frames = min(frames, SCREEN_FRAMES)
        script = SCRIPT.format(scene=program("samples/gl-scene"), frames=frames,
                               size=self.arguments.size, screen_first=frames - screen_frames,
                               screen_frames=screen_frames)
        devices = vgpu_arguments(mediator.socket(name), self.arguments.width, self.arguments.height)
        return Guest(name, self.out / name, script, devices)

    def dump_screen(self, guest):
        """The kernel has been told of the last frame; QEMU may see it a moment later."""
        path = self.out / f"{guest.name}-screen.png"
        end = time.monotonic() + SCREEN_S
        while True:
            guest.screendump(path)
            if picture.compare(path, self.reference).same or time.monotonic() > end:
                return
            time.sleep(0.2)

    def watch(self, guests):
        self.wait_for(guests, "scene.json",
                      f"both are up; each draws {self.arguments.frames} frames with gl-scene")
        self.wait_for(guests, "screen.json", "both have drawn; gl-scene --kms on their displays")
        for guest in guests:
            self.dump_screen(guest)

    def summarize_guest(self, guest, vgpu):
        screen = json.loads((guest.share / "screen.json").read_text())
        screen_png = f"{guest.name}-screen.png"
        difference = picture.compare(self.out / screen_png, self.reference)
        return self.summarize_picture(guest) | {
            "submits": vgpu["submits"],
            "screen_png": screen_png,
            "screen_fps": screen["fps"],
            "screen_max_pixel_diff": difference.maximum,
            "screen_mean_pixel_diff": round(difference.mean, 4),
        }

    def problems(self, row, code):
        yield from super().problems(row, code)
        if "virgl" not in row["gl_renderer"]:
            yield (f"it drew with {row['gl_renderer']} instead of virgl: the vGPU offered no 3D, "
                   "see aliquotd.log")
        if row["submits"] == 0:
            yield "aliquotd counted no 3D submissions"
        if row["screen_mean_pixel_diff"] > picture.MEAN_DIFF_MAX:
            yield (f"{row['screen_png']} differs from reference.png "
                   f"(mean {row['screen_mean_pixel_diff']})")

    def print_table(self, summary):
        print(f"\n{'guest':<9} {'frames/s':>8} {'submits':>8} {'picture':>14} {'display':>14}  "
              "renderer")
        for row in summary["guests"]:
            pictures = (f"{row['mean_pixel_diff']:.2f} / {row['max_pixel_diff']}",
                        f"{row['screen_mean_pixel_diff']:.2f} / {row['screen_max_pixel_diff']}")
            print(f"{row['name']:<9} {row['fps']:>8.1f} {row['submits']:>8} {pictures[0]:>14} "
                  f"{pictures[1]:>14}  {row['gl_renderer']}")
        print("(picture, display: mean / largest difference from the reference, of 255)\n")


class VulkanDemo(Demo):
    """vk-scene off screen, and vk-compute."""

    sample = "vk-scene"
    drew_with = ("vk_device", "vk_driver", "vk_version")

    def settings(self):
        return "vulkan = on\nscanouts = 0"

    def guest(self, name, mediator):
        script = VULKAN_SCRIPT.format(scene=program("samples/vk-scene"),
                                      compute=program("samples/vk-compute"), driver=VULKAN_DRIVER,
                                      frames=self.arguments.frames, size=self.arguments.size)
        return Guest(name, self.out / name, script, vulkan_arguments(mediator.socket(name)))

    def watch(self, guests):
        self.wait_for(guests, "scene.json",
                      f"both are up; each draws {self.arguments.frames} frames with vk-scene")
        self.wait_for(guests, "compute.json", "both have drawn; vk-compute")

    def summarize_guest(self, guest, vgpu):
        compute = json.loads((guest.share / "compute.json").read_text())
        return self.summarize_picture(guest) | {"compute": compute}

    def problems(self, row, code):
        yield from super().problems(row, code)
        for device in (row["vk_device"], row["compute"]["vk_device"]):
            if "Venus" not in device:
                yield f"it used {device} instead of Venus: the vGPU offered no Vulkan"

    def print_table(self, summary):
        print(f"\n{'guest':<9} {'frames/s':>8} {'picture':>14} {'GFLOP/s':>8}  device")
        for row in summary["guests"]:
            difference = f"{row['mean_pixel_diff']:.2f} / {row['max_pixel_diff']}"
            print(f"{row['name']:<9} {row['fps']:>8.1f} {difference:>14} "
                  f"{row['compute']['gflops']:>8.2f}  {row['vk_device']}")
        print("(picture: mean / largest difference from the reference, of 255)\n")


def raise_exit(signal_number, _frame):
    raise SystemExit(128 + signal_number)


def main():
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, raise_exit)
    signal.signal(signal.SIGHUP, raise_exit)
    demo = (VulkanDemo if arguments.vulkan else GlDemo)(arguments)
    try:
        summary = demo.run()
    except (VmError, OSError) as error:
        print(f"demo: {error}\ndemo: the logs are in {demo.out}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    demo.print_table(summary)
    for problem in summary["problems"]:
        print(f"demo: {problem}", file=sys.stderr)
    print(f"{summary['seconds']:.0f} s ({summary['accel']}); pictures, logs and summary.json are "
          f"in {demo.out}")
    return 0 if summary["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
