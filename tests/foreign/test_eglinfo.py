# SPDX-License-Identifier: MIT
"""eglinfo finds on a vGPU what it finds on the peer: versions and extensions."""

import re

import pytest
from columns import OURS, PEER, check


def facts(result):
    """Lines about OpenGL, and the names of extensions; not those about EGL's platform, which differ
    between a render node and none."""
    assert result.returncode == 0, result.stderr
    return (set(re.findall(r'^OpenGL.*: .*', result.stdout, re.M)),
            set(re.findall(r'^\s+(GL_\w+)', result.stdout, re.M)))


@pytest.mark.parametrize('column', OURS)
def test_versions_and_extensions(columns, column):
    command = ['eglinfo', '-s', '-p', 'surfaceless']
    peer_lines, peer_extensions = facts(columns.run(PEER, *command))
    lines, extensions = facts(columns.run(column, *command))
    assert len([line for line in lines if 'renderer: virgl' in line]) == 3  # core, compatibility, ES
    assert lines == peer_lines
    assert len(peer_extensions) > 200
    check('eglinfo', column, peer_extensions - extensions)


@pytest.mark.parametrize('column', OURS)
def test_all_platforms(columns, column):
    """The status is the number of platforms that fail; X11 and Wayland have no server here."""
    peer, ours = columns.run(PEER, 'eglinfo', '-B'), columns.run(column, 'eglinfo', '-B')
    works = [re.findall(r'^(?:Platform )?(\w+) platform:\nEGL API', result.stdout, re.M)
             for result in (peer, ours)]
    assert {'Surfaceless', 'Device'} <= set(works[0]) <= set(works[1])
    assert ours.returncode <= peer.returncode, ours.stdout
