# SPDX-License-Identifier: MIT
"""Vulkan natively, with virgl_test_server, and on a vGPU: what Venus costs, and how it shares.

usage: vulkan.py [--json FILE] [--part P...] [--place plain|drain|rig ...] [--seconds S] [--pairs N]
                 [--workload W...] [--load-seconds S] [--runs N] [--quick]

On the software GPU. Parts: small workloads and vkmark's scenes, whose columns take turns; the
gate's cost to a submission; the GPU time that is counted, against other clocks; an OpenGL hog
against one of Vulkan; a light client beside a hog. The last three with aliquotd as it is (plain),
told that work can't be interrupted (drain), and where it can't (rig: lib/place.py). Where
virgl_test_server can't map device memory, its client is told to do without feedback in it, and what
needs memory has no figure. "Spread" is the smallest and the largest. A missed target is a result;
the exit status is 1 only if something did not run.
"""

import pathlib
import signal
import sys
import tempfile

from lib import accounts, fair, gate, light, vkmark
from lib.api import GL, VULKAN
from lib.columns import ALIQUOT, OURS, PEER, open_columns
from lib.daemon import ALIQUOTD, RENDERER, Daemon, require
from lib.environment import SHIM, Failed, base_environment
from lib.load import Frame
from lib.peer import require_peer, virgl_test_server
from lib.place import PLACES, RIG, UNINTERRUPTED
from lib.report import machine, progress, write_json
from lib.sharing import ENDING, Rounds, end_once, measure_places
from lib.turns import NATIVE, VTEST, Turns, environments
from lib.workloads import TIMEOUT, add_options, known_workloads, parse_options, run_workload

# Where the GPU is the limit, sharing must not be seen. Elsewhere it is to be no worse than what
# Venus reached over virgl_test_server where that could map device memory.
TARGET_OF_NATIVE = {'compute-fill': 0.98, 'draws-prerecorded': 0.98, 'draws-recorded': 0.82,
                    'memcpy': 0.98, 'readback': 0.7, 'upload': 0.91, 'submit-wait': 0.24,
                    'submits': 0.33, 'submits-commands': 0.33, 'alloc-map-free': 0.05,
                    'create-buffers': 0.32}
TARGET_VKMARK_OF_NATIVE = 0.95
TARGET_OF_PEER = 1.0

TRY_SECONDS = 0.05
TRY_TIMEOUT = 8  # seconds; who can't map device memory may hang
NEEDS_MAPPING = 'memcpy'
UDMABUF = pathlib.Path('/dev/udmabuf')
# Venus looks into device memory for the state of fences and the like, unless told not to.
NO_FEEDBACK = {'VN_PERF': ','.join(f'no_{what}_feedback' for what in (
    'event', 'fence', 'query', 'semaphore', 'timeline_sem'))}

GL_HOG = Frame(126, 100)
HOG = Frame(126, 100, VULKAN, 100)
HOG_IN_ONE = Frame(126, 100, VULKAN, 1)
# A client is (weight, frame).
SHARED = {'OpenGL and Vulkan 1:1': [(1, GL_HOG), (1, HOG)],
          'OpenGL and Vulkan 1:3': [(1, GL_HOG), (3, HOG)],
          'OpenGL and Vulkan 3:1': [(3, GL_HOG), (1, HOG)]}
LIGHT_FRAME = Frame(1.3, api=VULKAN)
BESIDE = {'light alone': [], 'light beside a hog': [HOG],
          'light beside a hog of single submissions': [HOG_IN_ONE]}
ACCOUNTED = {'frames of 12.6 ms': Frame(12.6, 10, VULKAN, 1),
             'frames of 12.6 ms in 10 submissions': Frame(12.6, 10, VULKAN, 10)}
ACCOUNTED_TOGETHER = {'OpenGL hog': GL_HOG, 'Vulkan hog': HOG}

WORKLOADS, VKMARK, GATE, ACCOUNTS, SHARES, LIGHT = PARTS = (
    'workloads', 'vkmark', 'gate', 'accounts', 'shares', 'light')


# ---- columns that take turns --------------------------------------------------------------------


def try_run(env, workload):
    """Why it does not work over vtest; None if it does."""
    try:
        run_workload(VULKAN, env, workload, TRY_SECONDS, False, TRY_TIMEOUT)
    except Failed as e:
        return str(e)
    return None


def look_for_feedback(turns):
    """Has clients of virgl_test_server, and of our vtest, do without feedback if it must be.
    Then ours are measured both ways. Returns {column: what that adds to the environment}."""
    more = {}
    for column in (PEER, VTEST):
        progress(f'{column}: trying whether device memory can be mapped')
        why = try_run(turns.envs[column], NEEDS_MAPPING)
        more[column] = NO_FEEDBACK if why else {}
        turns.envs[column] |= more[column]
        if why:
            progress(f'{column}: it can\'t, so without feedback: {why}')
    if more[PEER]:
        turns.set_up_alike(more[PEER])
    return more


def tried(error):
    missing = '' if UDMABUF.exists() else f' ({UDMABUF} is missing)'
    return f'tried, and it {error}{missing}'


def measure_workload(options, turns, workload):
    for column in (PEER, VTEST):
        why = try_run(turns.envs[column], workload)
        if why:
            progress(f'{column}: no {workload}: {why}')
            turns.absent[workload, column] = tried(why)
    unit = ''
    try:
        unit = run_workload(VULKAN, turns.envs[NATIVE], workload, TRY_SECONDS, True)[1]
    except Failed as e:
        turns.notes[workload, NATIVE] = str(e)
    turns.rounds(workload, options.pairs, unit,
                 lambda column, env: run_workload(VULKAN, env, workload, options.seconds,
                                                  column == NATIVE)[0])
    return turns.compared_rows(workload, TARGET_OF_NATIVE.get(workload), TARGET_OF_PEER)


def try_vkmark(env, scene, timeout=TIMEOUT):
    """Why the scene is not drawn; None if it is."""
    try:
        vkmark.run_scene(env, scene, TRY_SECONDS, timeout)
    except Failed as e:
        return str(e)
    return None


def measure_vkmark(options, turns):
    """Rows of the scenes that are drawn natively."""
    good = []
    for scene in vkmark.known_scenes():
        why = try_vkmark(turns.envs[NATIVE], scene)
        if why:
            progress(f'vkmark {scene} natively: {why}')
        else:
            good.append(scene)
    for column in (PEER, VTEST):
        why = good and try_vkmark(turns.envs[column], good[0], TRY_TIMEOUT)
        turns.absent |= {(f'vkmark {scene}', column): tried(why) for scene in good if why}
    rows = []
    for scene in good:
        what = f'vkmark {scene}'
        turns.rounds(what, options.pairs, 'fps',
                     lambda column, env: vkmark.run_scene(env, scene, options.seconds))
        rows += turns.compared_rows(what, TARGET_VKMARK_OF_NATIVE, TARGET_OF_PEER)
    return rows


def measure_turns(options, folder):
    """Turns, their rows, and what look_for_feedback() says."""
    rows = []
    with virgl_test_server(folder, venus=True) as peer, \
            Daemon(folder / 'aliquot', 'virgl', env=base_environment()) as daemon:
        turns = Turns(environments(VULKAN, peer, daemon.socket))
        more = look_for_feedback(turns)
        if WORKLOADS in options.part:
            for workload in options.workload:
                rows += measure_workload(options, turns, workload)
        if VKMARK in options.part:
            rows += measure_vkmark(options, turns)
    return turns, rows, more


# ---- several clients ----------------------------------------------------------------------------


def measure_place(options, place, folder, venus):
    """Rows, and whether something failed; venus: as for open_columns()."""
    rows = []
    seconds = options.load_seconds
    with open_columns(place, folder, (NATIVE, PEER, OURS), venus) as columns:
        rounds = Rounds(columns, options.runs)
        if ACCOUNTS in options.part:
            rows += accounts.measure_alone(ACCOUNTED, rounds, place, folder, seconds)
        if ACCOUNTS in options.part and place.name == RIG:
            rows += accounts.measure_together(ACCOUNTED_TOGETHER, rounds, place, folder, seconds)
        if SHARES in options.part:
            rows += fair.measure_scenes(SHARED, rounds, place, folder, seconds, options.quick,
                                        (PEER, OURS))
        if LIGHT in options.part and place.name != UNINTERRUPTED.name:
            rows += light.measure_scenes(LIGHT_FRAME, BESIDE, rounds, place, folder, seconds,
                                         options.quick)
    return rows, rounds.failed


# ---- the whole ----------------------------------------------------------------------------------


def options_of_command_line():
    parser = add_options(__doc__, known_workloads(VULKAN))
    parser.add_argument('--part', nargs='+', choices=PARTS, default=PARTS, help='only these')
    places = (*PLACES, UNINTERRUPTED.name)
    parser.add_argument('--place', nargs='+', choices=places, default=places,
                        help='where several clients draw: plain: what draws runs as any program; '
                             'drain: and slices end with a wait for it; rig: on a processor of '
                             'its own that does not preempt it (all)')
    parser.add_argument('--load-seconds', type=float, help='of each run of several clients (10)')
    parser.add_argument('--runs', type=int, help='how often each of those runs (3)')
    options = parse_options(parser)
    if options.load_seconds is None:
        options.load_seconds = 0.15 if options.quick else 10
    if options.runs is None:
        options.runs = 1 if options.quick else 3
    if not 0 < options.load_seconds <= 3600 or options.runs < 1:
        parser.error('--load-seconds must be in 0 … 3600, --runs at least 1')
    return options


def missing_parts(options):
    """{part: why it can't be measured}."""
    whys = {VKMARK: vkmark.missing(), GATE: gate.missing()}
    return {part: why for part, why in whys.items() if why and part in options.part}


def measure(options, folder):
    """Turns, all rows, and whether all ran; what is missing goes to options.missing."""
    turns, rows, more = measure_turns(options, folder)
    good = True
    if GATE in options.part:
        gate_rows, failed = gate.measure(options.pairs)
        rows += gate_rows
        good = not failed
    if {ACCOUNTS, SHARES, LIGHT} & set(options.part):
        placed_rows, placed_good, missing = measure_places(
            options, lambda *args: measure_place(*args, more[PEER]))
        rows += placed_rows
        good = good and placed_good
        options.missing |= missing
    turns.without_feedback = [column for column in more if more[column]]
    return turns, rows, good and not turns.failed


def main():
    require(VULKAN.bench, VULKAN.load, GL.load, SHIM, ALIQUOT, ALIQUOTD, RENDERER)
    require_peer()
    options = options_of_command_line()
    # Finally-blocks stop what was started, and put back what was set.
    for number in ENDING:
        signal.signal(number, end_once)
    before = machine()
    options.missing = missing_parts(options)
    options.part = [part for part in options.part if part not in options.missing]
    with tempfile.TemporaryDirectory(prefix='aliquot-bench-') as folder:
        turns, rows, good = measure(options, pathlib.Path(folder))
    if options.json:
        write_json(options.json, 'vulkan', rows, load_before=before['load'],
                   missing=options.missing, without_feedback=turns.without_feedback,
                   absent=[{'what': what, 'column': column, 'why': why}
                           for (what, column), why in turns.absent.items()])
    turns.print_report(rows)
    if turns.without_feedback:
        print(f'without feedback in device memory, which can\'t be mapped: '
              f'{", ".join(turns.without_feedback)}')
    for what, why in options.missing.items():
        print(f'{what} not measured: {why}')
    sys.exit(0 if good else 1)


if __name__ == '__main__':
    main()
