# SPDX-License-Identifier: MIT
"""Vulkan programs of others that compute, on a vGPU: the results are those of the same driver
without us."""

import pytest
from columns import OURS, TIMEOUT
from compute import KERNELS, PICTURES, kernels, native, pictures, quiet


@pytest.mark.parametrize('via', OURS)
@pytest.mark.parametrize('command, results, least', [(PICTURES, pictures, 5),
                                                     (KERNELS, kernels, 40)],
                         ids=['pictures', 'kernels'])
def test_results(columns, via, command, results, least):
    expected = results(native(command, TIMEOUT))
    assert len(expected) >= least and len(set(expected)) == len(expected), expected
    run = columns.run(via, *command)
    said = run.stdout + run.stderr
    assert run.returncode == 0 and 'Virtio-GPU Venus (llvmpipe' in said, said
    assert results(said) == expected


@pytest.mark.parametrize('via', OURS)
def test_kernels_are_right(columns, via):
    """Not only as wrong as without us."""
    run = columns.run(via, *KERNELS)
    verdicts = list(kernels(run.stdout).values())
    assert verdicts.count('OK') >= 40 and 'FAIL' not in verdicts, run.stdout


@pytest.mark.parametrize('via', OURS)
def test_two_at_once(columns, via):
    """Two programs of others in two vGPUs do not get at each other's data."""
    programs = [(results, native(command, TIMEOUT), columns.start(via, *quiet(command)))
                for command, results in ((PICTURES, pictures), (KERNELS, kernels))]
    for results, expected, program in programs:
        out = program.communicate(timeout=TIMEOUT)[0]
        assert program.returncode == 0, out
        assert results(out) == results(expected)
