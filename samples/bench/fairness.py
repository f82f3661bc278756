# SPDX-License-Identifier: MIT
"""Shares of the GPU among saturating clients against what their weights say.

usage: fairness.py [--json FILE] [--seconds S] [--runs N] [--place plain|rig] [--scene S...]
                   [--column C...] [--vms] [--quick]

lib/fair.py says how GPU time is counted. With --vms the scenes 1:1 and 1:3 are measured with a
client in each of two guests, too. A missed target is a result; the exit status is 1 only if
something did not run.
"""

from lib.columns import NATIVE, OURS, Native, open_columns
from lib.fair import measure_scenes
from lib.guests import open_guests
from lib.load import Frame
from lib.sharing import Rounds, add_options, parse_options, run_benchmark, with_guests

HOG = Frame(126, 100)
SHORT = Frame(31.5, 25)
HOG_IN_ONE = Frame(126, 1)
SHORT_IN_ONE = Frame(31.5, 1)

# A client is (weight, frame).
SCENES = {
    '1:1': [(1, HOG), (1, HOG)],
    '1:3': [(1, HOG), (3, HOG)],
    '1:9': [(1, HOG), (9, HOG)],
    '1:2:4:8': [(1, HOG), (2, HOG), (4, HOG), (8, HOG)],
    'short-frames': [(1, HOG), (1, SHORT)],
    'short-frames-in-one-draw': [(1, HOG_IN_ONE), (1, SHORT_IN_ONE)],
}
IN_GUESTS = ('1:1', '1:3')


def measure_guests(options, place, folder):
    """The same with two guests."""
    with open_guests(place, folder / 'guests', 2) as guests:
        rounds = Rounds({NATIVE: Native(place), OURS: guests}, options.runs)
        scenes = {f'two guests ({guests.accel}), {scene}': SCENES[scene]
                  for scene in options.scene if scene in IN_GUESTS}
        rows = measure_scenes(scenes, rounds, place, folder, options.seconds, options.quick,
                              [OURS])
    return rows, rounds.failed


def measure(options, place, folder):
    with open_columns(place, folder, options.column) as columns:
        rounds = Rounds(columns, options.runs)
        scenes = {scene: SCENES[scene] for scene in options.scene}
        rows = measure_scenes(scenes, rounds, place, folder, options.seconds, options.quick)
    return with_guests(options, rows, rounds.failed,
                       lambda: measure_guests(options, place, folder))


def main():
    options = parse_options(add_options(__doc__, seconds=10, runs=3, quick_seconds=0.15,
                                        scenes=list(SCENES), vms=True))
    run_benchmark('fairness', options, measure)


if __name__ == '__main__':
    main()
