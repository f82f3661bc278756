# SPDX-License-Identifier: MIT
"""A client for QEMU's machine protocol: commands one after another, events left aside."""

import json
import os
import socket
import time

from vm.error import VmError


class Qmp:
    def __init__(self, path, process, timeout_s=30.0):
        """Connects to the socket that `process` is about to make, and greets."""
        self._socket = self._connect(str(path), process, timeout_s)
        self._socket.settimeout(timeout_s)
        self._stream = self._socket.makefile("rw", encoding="utf-8")
        try:
            self._read()
            self.command("qmp_capabilities")
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _connect(path, process, timeout_s):
        """A path may be longer than a socket's name can be: connect through its directory."""
        end = time.monotonic() + timeout_s
        directory = os.open(os.path.dirname(path), os.O_PATH | os.O_CLOEXEC)
        try:
            short = f"/proc/self/fd/{directory}/{os.path.basename(path)}"
            while True:
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
                try:
                    sock.connect(short)
                    return sock
                except (FileNotFoundError, ConnectionRefusedError):
                    sock.close()
                if process.poll() is not None:
                    raise VmError(f"QEMU ended at once with {process.returncode}.")
                if time.monotonic() > end:
                    raise VmError(f"QEMU opened no QMP socket within {timeout_s:.0f} s.")
                time.sleep(0.05)
        finally:
            os.close(directory)

    def command(self, name, **arguments):
        """Runs a command and gives its result; raises VmError with QEMU's words if it fails."""
        message = {"execute": name}
        if arguments:
            message["arguments"] = {key.replace("_", "-"): arguments[key] for key in arguments}
        try:
            self._stream.write(json.dumps(message) + "\n")
            self._stream.flush()
            while True:
                answer = self._read()
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    raise VmError(f"QEMU refused {name}: {answer['error'].get('desc')}.")
        except (OSError, ValueError) as error:
            raise VmError(f"The QMP connection broke at {name}: {error}.") from error

    def _read(self):
        line = self._stream.readline()
        if not line:
            raise ConnectionResetError("QEMU is gone")
        return json.loads(line)

    def close(self):
        for end in (self._stream, self._socket):
            try:
                end.close()
            except OSError:
                pass
