# SPDX-License-Identifier: MIT
"""How much of the GPU each of several clients had, from when their frames began and ended."""

import bisect

WINDOW_NS = 1_000_000_000
STEP_NS = 50_000_000


class Progress:
    """Frames that a client has drawn by a time; a frame advances evenly from start to end."""

    def __init__(self, spans):
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]

    def at(self, time_ns):
        i = bisect.bisect_right(self._starts, time_ns) - 1
        if i < 0:
            return 0.0
        length = max(self._ends[i] - self._starts[i], 1)
        return i + min((time_ns - self._starts[i]) / length, 1.0)

    def between(self, from_ns, to_ns):
        return self.at(to_ns) - self.at(from_ns)


class Counter:
    """The same for a counter that was read now and then: [(time, value)]."""

    def __init__(self, samples):
        self._times = [time for time, _ in samples]
        self._values = [value for _, value in samples]

    def at(self, time_ns):
        i = bisect.bisect_right(self._times, time_ns)
        if i == 0 or i == len(self._times):
            return self._values[min(i, len(self._times) - 1)]
        before, after = self._times[i - 1], self._times[i]
        part = (time_ns - before) / (after - before)
        return self._values[i - 1] + part * (self._values[i] - self._values[i - 1])

    def between(self, from_ns, to_ns):
        return self.at(to_ns) - self.at(from_ns)


def shares(progresses, costs, from_ns, to_ns):
    """Parts of the GPU time of all; a unit of each progress costs that. None: nobody had any."""
    had = [p.between(from_ns, to_ns) * cost for p, cost in zip(progresses, costs)]
    return [h / sum(had) for h in had] if sum(had) > 0 else None


def error_points(got, weights):
    """The largest distance of a share from what its weight says, in percentage points."""
    if got is None:
        return 100.0
    return max(abs(g - w / sum(weights)) for g, w in zip(got, weights)) * 100


def worst_window_points(progresses, costs, weights, from_ns, to_ns, window_ns=WINDOW_NS):
    """The largest error in any window of that length."""
    window_ns = min(window_ns, to_ns - from_ns)
    starts = range(from_ns, to_ns - window_ns + 1, STEP_NS)
    return max(error_points(shares(progresses, costs, t, t + window_ns), weights) for t in starts)
