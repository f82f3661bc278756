# SPDX-License-Identifier: MIT
"""Frame times of a light client alone, and beside clients that saturate the GPU.

usage: latency.py [--json FILE] [--seconds S] [--runs N] [--place plain|rig] [--scene S...]
                  [--column C...] [--quick]

lib/light.py says what the light client does. A missed target is a result; the exit status is 1 only
if something did not run.
"""

from lib.columns import open_columns
from lib.light import measure_scenes
from lib.load import Frame
from lib.sharing import Rounds, add_options, parse_options, run_benchmark

LIGHT = Frame(1.3)
HOG = Frame(126, 100)
HOG_IN_ONE = Frame(126)

SCENES = {
    'alone': [],
    'hog': [HOG],
    'hog-in-one-draw': [HOG_IN_ONE],
    '4-hogs': [HOG] * 4,
}


def measure(options, place, folder):
    with open_columns(place, folder, options.column) as columns:
        rounds = Rounds(columns, options.runs)
        scenes = {scene: SCENES[scene] for scene in options.scene}
        rows = measure_scenes(LIGHT, scenes, rounds, place, folder, options.seconds,
                              options.quick)
    return rows, rounds.failed


def main():
    options = parse_options(add_options(__doc__, seconds=10, runs=3, quick_seconds=0.15,
                                        scenes=list(SCENES)))
    run_benchmark('latency', options, measure)


if __name__ == '__main__':
    main()
