# SPDX-License-Identifier: MIT
"""Two guests that always have work: what each gets of the GPU's time."""

from vm.guest import Guest, vgpu_arguments
from vm.mediator import Mediator, program

BOOT_S = 90
DRAW_S = 120
WARM_COMPLETIONS = 20
COUNTED_USEC = 5_000_000 # of GPU time, of both together

# Frames so large that drawing them takes the processors, not having the guest ask for them; without
# end: they are stopped.
HOG = """
export ASAN_OPTIONS=detect_leaks=0
exec {load} --platform gbm --work 1000 --draws 10 --seconds 3600
"""


def busy(mediator):
    vgpus = mediator.list()
    return {name: vgpus[name]["busyUsec"] for name in ("light", "heavy")}


def test_weights(tmp_path):
    """At weights of 1:3 the heavier one gets three quarters, as the daemon counts it."""
    script = HOG.format(load=program("samples/gl-load"))
    vgpus = {"light": "weight = 100", "heavy": "weight = 300"}
    with Mediator(tmp_path / "daemon", vgpus) as mediator:
        guests = [Guest(name, tmp_path / name, script, vgpu_arguments(mediator.socket(name)))
                  for name in vgpus]
        with guests[0], guests[1]:
            for name in vgpus:
                mediator.wait_for(
                    name, lambda vgpu: vgpu["submits"] > 0
                    and vgpu["gpuCompletions"] > WARM_COMPLETIONS, "drawing", BOOT_S)
            before = busy(mediator)
            had = {}

            def counted(_):
                had.update({name: now - before[name] for name, now in busy(mediator).items()})
                return sum(had.values()) > COUNTED_USEC

            mediator.wait_for("heavy", counted, "drawing", DRAW_S)
        assert mediator.stop() == 0, mediator.tail()
    # What a guest's processor needs between two frames goes to the other.
    assert 0.65 < had["heavy"] / sum(had.values()) < 0.85, had
