# SPDX-License-Identifier: MIT
"""aliquotd with a socket directory of its own, and what `aliquot list` says about it."""

import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time

from vm import process
from vm.error import VmError

_READY_S = 30.0
_LIST_S = 10.0
_POLL_S = 0.2


def program(relative):
    """The path of a program of the build that ALIQUOT_BUILD names."""
    build = os.environ.get("ALIQUOT_BUILD")
    if not build:
        raise VmError("ALIQUOT_BUILD is not set to a build directory; ./run sets it.")
    path = pathlib.Path(build).absolute() / relative
    if not path.exists():
        raise VmError(f"{path} is missing: build first (./run build).")
    return path


class Mediator:
    def __init__(self, directory, vgpus, settings=""):
        """vgpus: names, or a line of settings by name. settings: lines for the [aliquot] section of
        the configuration. The log and the configuration go to directory."""
        self.directory = pathlib.Path(directory).absolute()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log_path = self.directory / "aliquotd.log"
        self.process = None
        # A directory with a short name: a socket's path has room for 107 bytes.
        self._sockets = pathlib.Path(tempfile.mkdtemp(prefix="aliquot-"))
        self._config = self.directory / "aliquot.conf"
        lines = vgpus if isinstance(vgpus, dict) else dict.fromkeys(vgpus, "")
        sections = "".join(f"[vgpu {name}]\n{line}\n" for name, line in lines.items())
        self._config.write_text(f"[aliquot]\n{settings}\n{sections}")

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Returns when the daemon listens."""
        environment = dict(os.environ)
        environment.setdefault("ALIQUOT_RENDERER", str(program("mediator/renderer/aliquot-renderer")))
        ready, ready_in = os.pipe()
        try:
            with open(self.log_path, "wb") as log:
                self.process = process.start(
                    [program("mediator/daemon/aliquotd"), "--config", self._config,
                     "--socket-dir", self._sockets, "--ready-fd", ready_in],
                    log, env=environment, pass_fds=[ready_in],
                )
            os.close(ready_in)
            ready_in = -1
            readable, _, _ = select.select([ready], [], [], _READY_S)
            if not readable or os.read(ready, 1) != b"\n":
                raise VmError(f"aliquotd did not become ready.\n{self.tail()}")
        finally:
            os.close(ready)
            if ready_in >= 0:
                os.close(ready_in)

    def socket(self, name):
        return self._sockets / f"{name}.sock"

    def list(self):
        """What `aliquot list --json` says, by vGPU name."""
        command = [program("mediator/cli/aliquot"), "list", "--json",
                   "--socket-dir", self._sockets]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=_LIST_S)
        except subprocess.TimeoutExpired as error:
            raise VmError(f"aliquot list did not answer.\n{self.tail()}") from error
        if result.returncode != 0:
            raise VmError(f"aliquot list failed: {result.stderr.strip()}\n{self.tail()}")
        return {vgpu["name"]: vgpu for vgpu in json.loads(result.stdout)}

    def wait_for(self, name, condition, what, timeout_s):
        """Waits until condition(entry of the list) holds for the vGPU; returns the entry."""
        end = time.monotonic() + timeout_s
        while True:
            entry = self.list()[name]
            if condition(entry):
                return entry
            if time.monotonic() > end:
                raise VmError(f"vGPU {name} is not {what} after {timeout_s:.0f} s: {entry}\n"
                              f"{self.tail()}")
            time.sleep(_POLL_S)

    def tail(self):
        """The last lines of the log, for an error message."""
        try:
            lines = self.log_path.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join([f"--- end of {self.log_path}", *lines[-25:]])

    def stop(self):
        """Ends the daemon, its renderers with it. Returns its exit code."""
        process.stop(self.process, 15.0)
        shutil.rmtree(self._sockets, ignore_errors=True)
        return self.process.returncode if self.process else None
