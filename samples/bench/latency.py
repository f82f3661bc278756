# SPDX-License-Identifier: MIT
"""Frame times of a light client alone, and beside clients that saturate the GPU.

usage: latency.py [--json FILE] [--seconds S] [--runs N] [--place plain|rig] [--scene S...]
                  [--column C...] [--vms] [--quick]

lib/light.py says what the light client does. With --vms the scenes with up to one hog are measured
with the hog in a guest, too, and the light one in another guest or without a VM. A missed target is
a result; the exit status is 1 only if something did not run.
"""

from lib.columns import NATIVE, OURS, Native, open_columns
from lib.guests import ShimBesideGuests, open_guests
from lib.light import measure_scenes
from lib.load import Frame
from lib.sharing import Rounds, add_options, parse_options, run_benchmark, with_guests

LIGHT = Frame(1.3)
HOG = Frame(126, 100)
HOG_IN_ONE = Frame(126)

SCENES = {
    'alone': [],
    'hog': [HOG],
    'hog-in-one-draw': [HOG_IN_ONE],
    '4-hogs': [HOG] * 4,
}


def measure_guests(options, place, folder):
    """The same with guests."""
    rows, failed = [], False
    with open_guests(place, folder / 'guests', 2) as guests:
        for where, column in (('a guest', guests), ('no VM', ShimBesideGuests(guests))):
            rounds = Rounds({NATIVE: Native(place), OURS: column}, options.runs)
            scenes = {}
            for scene in (s for s in options.scene if len(SCENES[s]) <= 1):
                beside = f'{scene} in a guest' if SCENES[scene] else 'guests idle'
                scenes[f'light in {where}, {beside} ({guests.accel})'] = SCENES[scene]
            rows += measure_scenes(LIGHT, scenes, rounds, place, folder, options.seconds,
                                   options.quick, [OURS])
            failed = failed or rounds.failed
    return rows, failed


def measure(options, place, folder):
    with open_columns(place, folder, options.column) as columns:
        rounds = Rounds(columns, options.runs)
        scenes = {scene: SCENES[scene] for scene in options.scene}
        rows = measure_scenes(LIGHT, scenes, rounds, place, folder, options.seconds,
                              options.quick)
    return with_guests(options, rows, rounds.failed,
                       lambda: measure_guests(options, place, folder))


def main():
    options = parse_options(add_options(__doc__, seconds=10, runs=3, quick_seconds=0.15,
                                        scenes=list(SCENES), vms=True))
    run_benchmark('latency', options, measure)


if __name__ == '__main__':
    main()
