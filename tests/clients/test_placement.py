# SPDX-License-Identifier: MIT
"""Where a vGPU goes on a machine with several GPUs."""

import contextlib

from claims import Claim
from daemon import Daemon, at_end, echo

THREE_GPUS = ('{"gpus": [{"id": "/dev/dri/renderD128"}, {"id": "/dev/dri/renderD129"},'
              ' {"id": "egl:4", "usable": false}, {"id": "software"}],'
              ' "auto": "/dev/dri/renderD128", "why": "the first with hardware"}')


def test_placement(tmp_path):
    """Configured ones go where they are told, else all to the least committed GPU that can honour
    their reservation."""
    (tmp_path / 'conf').write_text('[vgpu told]\ngpu = /dev/dri/renderD128\nreservation = 50%\n'
                                   '[vgpu free]\nreservation = 20%\n'
                                   '[vgpu soft]\ngpu = software\nreservation = 95%\n')
    env = {'ALIQUOT_MOCK_PROBE': THREE_GPUS}
    with Daemon(tmp_path / 'run', '--config', tmp_path / 'conf', env=env) as daemon:
        info = daemon.call('GetInfo')
        why = 'for each vGPU the least committed of /dev/dri/renderD128, /dev/dri/renderD129'
        assert (info['gpu'], info['why']) == ('auto', why)
        daemon.log.wait(f'GPU auto: {why}$')
        gpus = {name: vgpu['gpu'] for name, vgpu in daemon.vgpus().items()}
        assert gpus == {'told': '/dev/dri/renderD128', 'free': '/dev/dri/renderD129',
                        'soft': 'software'}

        with contextlib.ExitStack() as stack:
            # 50 % are reserved of one and 20 % of the other: the other, whatever the weights.
            for i in range(2):
                connection = stack.enter_context(daemon.connect())
                assert echo(connection)
                vgpu = daemon.vgpus()[f'auto-{i + 1}']
                assert vgpu['gpu'] == '/dev/dri/renderD129'
                assert 'on /dev/dri/renderD129' in vgpu['gl']
            # Now the first is less committed, and later the only one with enough left.
            assert daemon.cli('set', 'told', '--reservation=10%').returncode == 0
            claimed = stack.enter_context(Claim(daemon, name='claimed', reservation='60%'))
            assert claimed.answer()['parameters']['name'] == 'claimed'
            assert daemon.vgpus()['claimed']['gpu'] == '/dev/dri/renderD128'
            refused = stack.enter_context(Claim(daemon, name='more', reservation='80%')).answer()
            assert refused['error'] == 'io.aliquot.Mediator.NotAdmitted'
            assert refused['parameters']['message'] == (
                "vGPU 'more': a reservation of 80% is more than any GPU has left: "
                "/dev/dri/renderD128 25%, /dev/dri/renderD129 75%; lower it or another one's")
            assert 'more' not in daemon.vgpus()
            assert not (tmp_path / 'run/more.sock').exists()


def test_placement_exclusive(tmp_path):
    env = {'ALIQUOT_MOCK_PROBE': THREE_GPUS}
    with Daemon(tmp_path / 'run', '--policy=exclusive', env=env) as daemon, \
            daemon.connect() as first, daemon.connect() as second, daemon.connect() as third:
        assert echo(first) and echo(second) and at_end(third)
        assert ({v['gpu'] for v in daemon.vgpus().values()} ==
                {'/dev/dri/renderD128', '/dev/dri/renderD129'})
        daemon.log.wait("vGPU 'auto-3': all 2 GPUs have policy exclusive and belong to others")
