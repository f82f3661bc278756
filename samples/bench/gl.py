# SPDX-License-Identifier: MIT
"""OpenGL workloads natively, with virgl_test_server, and on a vGPU through vtest and the shim.

usage: gl.py [--json FILE] [--seconds S] [--pairs N] [--workload W...] [--quick]

All on the software GPU: an aliquotd and a virgl_test_server of its own in a temporary folder. The
columns take turns, workload by workload, so that ratios are of runs that follow each other.
"Spread" is the smallest and the largest. A missed target is a result; the exit status is 1 only
if something did not run.
"""

import contextlib
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
import time

from lib.api import GL
from lib.daemon import ALIQUOTD, BUILD, RENDERER, Daemon, require
from lib.environment import SHIM, Failed, base_environment, check_renderer
from lib.peer import require_peer, virgl_test_server
from lib.report import machine, progress, write_json
from lib.turns import COLUMNS, NATIVE, OURS, VTEST, Turns, environments
from lib.workloads import (SETTLE_SECONDS, TIMEOUT, add_options, known_workloads, parse_options,
                           run_workload)

GL_TRIANGLE = BUILD / 'samples/gl-triangle'

PROBE_SECONDS = 0.02

# Where the GPU is the limit, sharing must not be seen.
TARGET_OF_NATIVE = {'fill': 0.98, 'draws-uniforms': 0.98}
TARGET_OF_PEER = {'bare-draws': 1.2, 'clear-finish': 1.2, 'readback': 2, 'upload': 1.1,
                  'stream': 1.3, 'subdata': 5}
TARGET_OF_PEER_ELSEWHERE = 1.0
FIRST_FRAME = 'first frame'
TARGET_FIRST_FRAME_MS = 120  # on top of native's


# ---- runs ---------------------------------------------------------------------------------------


def frames_per_second(column, env, workload, seconds):
    return run_workload(GL, env, workload, seconds, column == NATIVE)[0]


def first_frame_ms(column, env):
    """From before the start of a process to when it says that its only frame is complete."""
    time.sleep(SETTLE_SECONDS)
    start = time.monotonic()
    command = [GL_TRIANGLE, '--platform', 'surfaceless', '--size', '512x512', '--frames', '1']
    with subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        try:
            said = b''
            while b'frames,' not in said:
                left = start + TIMEOUT - time.monotonic()
                ready = select.select([process.stdout], [], [], max(left, 0))[0]
                data = os.read(process.stdout.fileno(), 4096) if ready else b''
                if not data:
                    raise Failed('no first frame')
                said += data
            elapsed = time.monotonic() - start
            process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            raise Failed('gl-triangle does not end') from None
        finally:
            process.kill()  # nothing to do if it has ended
    check_renderer(column == NATIVE, said.decode(errors='replace'))
    return elapsed * 1000


def probe(turns):
    """Ends the benchmark if a column does not work, except vtest, which may not be there."""
    for column in COLUMNS:
        try:
            frames_per_second(column, turns.envs[column], 'clear-finish', PROBE_SECONDS)
        except Failed as e:
            if column != VTEST:
                sys.exit(f'gl: {column} does not work: {e}')
            progress(f'the renderer does not serve vtest: {e}')
            turns.absent[None, VTEST] = f'the renderer does not serve vtest: {e}'


# ---- figures ------------------------------------------------------------------------------------


def first_frame_rows(turns, what):
    unit, figures = turns.results[what]
    later = {c: [x - n for x, n in zip(figures[c], figures[NATIVE])]
             for c in figures if NATIVE in figures}
    rows = []
    for column, target in ((OURS, TARGET_FIRST_FRAME_MS), (VTEST, None)):
        rows += [turns.row(what, column, unit, column, figures, digits=1),
                 turns.row(what, f'{column} minus native', unit, column, later, NATIVE, digits=1,
                           target=target)]
    return rows


def measure(options, folder):
    """Turns, with the results of all workloads and the first frame."""
    with contextlib.ExitStack() as stack:
        peer_socket = stack.enter_context(virgl_test_server(folder))
        daemon = stack.enter_context(Daemon(folder / 'aliquot', 'virgl', env=base_environment()))
        turns = Turns(environments(GL, peer_socket, daemon.socket))
        probe(turns)  # brings the libraries into the page cache, too
        turns.rounds(FIRST_FRAME, options.pairs, 'ms', first_frame_ms)
        for name in options.workload:
            turns.rounds(name, options.pairs, 'fps',
                         lambda column, env: frames_per_second(column, env, name, options.seconds))
        return turns


def main():
    require(GL.bench, GL_TRIANGLE, SHIM, ALIQUOTD, RENDERER)
    require_peer()
    options = parse_options(add_options(__doc__, known_workloads(GL)))
    # Finally-blocks stop what was started.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    before = machine()
    runs = options.pairs * len(options.workload) * len(COLUMNS)
    progress(f'{runs} runs of {options.seconds:g} s, about '
             f'{runs * (1.2 * options.seconds + 0.5):.0f} s; load {before["load"]:.1f}')
    try:
        with tempfile.TemporaryDirectory(prefix='aliquot-bench-') as folder:
            turns = measure(options, pathlib.Path(folder))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    rows = [r for name in options.workload
            for r in turns.compared_rows(name, TARGET_OF_NATIVE.get(name),
                                         TARGET_OF_PEER.get(name, TARGET_OF_PEER_ELSEWHERE))]
    rows += first_frame_rows(turns, FIRST_FRAME)
    if options.json:
        write_json(options.json, 'gl', rows, load_before=before['load'])
    turns.print_report(rows)
    sys.exit(1 if turns.failed else 0)


if __name__ == '__main__':
    main()
