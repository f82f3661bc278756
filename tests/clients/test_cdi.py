# SPDX-License-Identifier: MIT
"""aliquot cdi: the specification, and what a container without GPU, devices or network draws when
a real OCI runtime has applied it."""

import json
import os
import pathlib
import re
import shutil
import tempfile

import pytest
from container import Bundle, Crun, apply_cdi
from daemon import BUILD, RENDERER, TIMEOUT, Daemon, cli

SHIM = pathlib.Path(os.environ.get('ALIQUOT_SHIM',
                                   BUILD / 'guest-driver/shim/libaliquot-shim.so'))
RAW_VIRGL = BUILD / 'samples/raw-virgl'
LIBRARY = BUILD / 'guest-driver/libaliquot-guest.so.0'
KIND = 'aliquot.io/vgpu'


def generate(socket_dir, *options, shim=SHIM):
    return cli('cdi', 'generate', '--socket-dir', str(socket_dir), *map(str, options),
               env=os.environ | {'ALIQUOT_SHIM': str(shim)})


@pytest.fixture(name='shim')
def make_shim(tmp_path):
    """For what only needs a file."""
    path = tmp_path / 'shim.so'
    path.touch()
    return path


def devices(result):
    assert (result.returncode, result.stderr) == (0, '')
    return {device['name']: device['containerEdits']
            for device in json.loads(result.stdout)['devices']}


# ---- the specification ----------------------------------------------------------------------


def test_specification(tmp_path, shim):
    with Daemon(tmp_path / 'run', '--vgpu', 'desk', '--vgpu=ci.1') as daemon:
        result = generate(daemon.dir, shim=shim)
        spec = json.loads(result.stdout)
        assert (spec['cdiVersion'], spec['kind']) == ('0.6.0', KIND)
        assert set(spec) == {'cdiVersion', 'kind', 'devices'}
        edits = devices(result)
        assert list(edits) == ['desk', 'ci.1', 'any']
        for name, socket in ('desk', 'desk'), ('ci.1', 'ci.1'), ('any', 'aliquot'):
            assert re.fullmatch('[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?', name)
            assert edits[name] == {
                'env': ['VK_LOADER_DRIVERS_SELECT=virtio_icd*',
                        f'ALIQUOT_SOCKET=/run/aliquot/{name}.sock',
                        'LD_PRELOAD=/run/aliquot/libaliquot-shim.so'],
                'mounts': [
                    {'hostPath': str(daemon.dir / f'{socket}.sock'),
                     'containerPath': f'/run/aliquot/{name}.sock',
                     'options': ['ro', 'nosuid', 'nodev', 'bind']},
                    {'hostPath': str(shim), 'containerPath': '/run/aliquot/libaliquot-shim.so',
                     'options': ['ro', 'nosuid', 'nodev', 'bind']}]}


def test_vtest_needs_no_library(tmp_path):
    with Daemon(tmp_path / 'run') as daemon:
        edits = devices(generate(daemon.dir, '--via=vtest', shim='/nonexistent'))
        assert edits['any']['env'] == ['VK_LOADER_DRIVERS_SELECT=virtio_icd*', 'VN_DEBUG=vtest',
                                       'LIBGL_ALWAYS_SOFTWARE=1', 'GALLIUM_DRIVER=virpipe',
                                       'VTEST_SOCKET_NAME=/run/aliquot/any.sock']
        assert [m['containerPath'] for m in edits['any']['mounts']] == ['/run/aliquot/any.sock']


def test_configured_ones_only(tmp_path, shim):
    (tmp_path / 'conf').write_text('[aliquot]\non-demand = no\n[vgpu desk]\n')
    with Daemon(tmp_path / 'run', '--config', tmp_path / 'conf') as daemon:
        assert list(devices(generate(daemon.dir, shim=shim))) == ['desk']
    (tmp_path / 'conf').write_text('[aliquot]\non-demand = no\n')
    with Daemon(tmp_path / 'run', '--config', tmp_path / 'conf') as daemon:
        result = generate(daemon.dir, shim=shim)
        assert (result.returncode, result.stdout) == (1, '')
        assert 'there is nothing to describe' in result.stderr


def test_vgpus_of_the_moment_are_left_out(tmp_path, shim):
    with Daemon(tmp_path / 'run') as daemon:
        with daemon.connect():
            daemon.log.wait("vGPU 'auto-1': connection of")
            assert list(devices(generate(daemon.dir, shim=shim))) == ['any']


def test_names_that_cdi_has_otherwise(tmp_path, shim):
    with Daemon(tmp_path / 'run', '--vgpu=any', '--vgpu=odd-') as daemon:
        result = generate(daemon.dir, shim=shim)
        assert result.returncode == 0
        found, = json.loads(result.stdout)['devices']
        assert found['containerEdits']['mounts'][0]['hostPath'] == str(daemon.dir / 'any.sock')
        assert "vGPU 'odd-' is left out" in result.stderr
        assert "the device 'any' is the configured vGPU of this name" in result.stderr


def test_output_file(tmp_path, shim):
    (tmp_path / 'cdi').mkdir()
    file = tmp_path / 'cdi/aliquot.json'
    file.write_text('old')
    with Daemon(tmp_path / 'run') as daemon:
        result = generate(daemon.dir, '--output', file, '--format=json', shim=shim)
        assert (result.returncode, result.stdout, result.stderr) == (0, '', '')
        assert json.loads(file.read_text())['kind'] == KIND
        assert file.stat().st_mode & 0o7777 == 0o644
        assert os.listdir(tmp_path / 'cdi') == ['aliquot.json']
        result = generate(daemon.dir, '--output', tmp_path / 'none/x.json', shim=shim)
        assert result.returncode == 1
        assert 'none/x.json: No such file' in result.stderr
        (tmp_path / 'cdi/folder').mkdir()
        assert generate(daemon.dir, '--output', tmp_path / 'cdi/folder', shim=shim).returncode == 1
        assert sorted(os.listdir(tmp_path / 'cdi')) == ['aliquot.json', 'folder']
        missing = generate(daemon.dir, shim=tmp_path / 'none.so')
        assert missing.returncode == 1 and 'give its path in $ALIQUOT_SHIM' in missing.stderr


def test_no_daemon(tmp_path, shim):
    result = generate(tmp_path, shim=shim)
    assert (result.returncode, result.stdout) == (1, '')
    assert "can't reach aliquotd" in result.stderr


@pytest.mark.parametrize('options', [[], ['make'], ['generate', 'x'], ['generate', '--format=yaml'],
                                     ['generate', '--via=wire'], ['generate', '--unknown']])
def test_usage(options):
    result = cli('cdi', *options)
    assert (result.returncode, result.stdout) == (2, '')
    assert 'aliquot: ' in result.stderr


def test_help():
    result = cli('cdi', '--help')
    assert (result.returncode, result.stderr) == (0, '')
    assert '--output FILE' in result.stdout


# ---- in a container -------------------------------------------------------------------------


@pytest.fixture(name='crun', scope='module')
def find_crun(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip('containers need root here')
    crun = Crun(tmp_path_factory.mktemp('crun'))
    if crun.unusable:
        pytest.skip(crun.unusable)
    return crun


@pytest.fixture(name='daemon', scope='module')
def running_daemon():
    path = pathlib.Path(tempfile.mkdtemp(prefix='aliquot-'))
    (path / 'conf').write_text('[aliquot]\nallow-users = 65534\n[vgpu desk]\n')
    with Daemon(path / 'run', '--config', path / 'conf', '--gpu=software',
                renderer=RENDERER) as daemon:
        yield daemon
    shutil.rmtree(path)


def run_in_container(crun, daemon, path, program, device='any', user=0, mounts=(), via='shim'):
    spec = json.loads(generate(daemon.dir, f'--via={via}').stdout)
    bundle = Bundle(path / 'bundle', program, user)
    bundle.config['mounts'] += [
        {'source': str(file), 'destination': place, 'type': 'bind', 'options': ['bind', 'ro']}
        for file, place in mounts]
    # A library of a build with sanitizers, loaded into programs that have none.
    bundle.config['process']['env'].append('ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0')
    apply_cdi(bundle.config, spec, f'{KIND}={device}')
    return crun.run(bundle, TIMEOUT)


def test_container_is_bare(crun, tmp_path):
    """Or the tests below would prove nothing."""
    look = 'ls /dev; test ! -e /dev/dri && grep -c : /proc/net/dev; grep CapEff /proc/self/status'
    result = crun.run(Bundle(tmp_path / 'bundle', ['sh', '-c', look]))
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert 'dri' not in lines and 'null' in lines
    assert lines[-2:] == ['1', 'CapEff:\t0000000000000000']


@pytest.mark.parametrize('device, user', [('any', 0), ('desk', 0), ('any', 65534)])
def test_mesa_draws_in_a_container(crun, daemon, tmp_path, device, user):
    result = run_in_container(crun, daemon, tmp_path, ['eglinfo', '-B', '-p', 'surfaceless'],
                              device, user)
    assert result.returncode == 0, result.stderr
    renderers = re.findall('renderer: (.*)', result.stdout)
    assert renderers and all(text.startswith('virgl (') for text in renderers), result.stdout


def test_user_who_may_not(crun, daemon, tmp_path):
    result = run_in_container(crun, daemon, tmp_path, ['eglinfo', '-B', '-p', 'surfaceless'],
                              user=4242)
    daemon.log.wait(r'refused eglinfo \(pid \d+, uid 4242\)')
    assert 'virgl (' not in result.stdout


def test_socket_in_a_container(crun, daemon, tmp_path):
    """A program that is its own driver, and needs nothing preloaded."""
    result = run_in_container(
        crun, daemon, tmp_path,
        ['sh', '-c', 'LD_LIBRARY_PATH=/tmp /tmp/raw-virgl --socket "$VTEST_SOCKET_NAME"'],
        mounts=[(RAW_VIRGL, '/tmp/raw-virgl'), (LIBRARY, f'/tmp/{LIBRARY.name}')], via='vtest')
    assert result.returncode == 0, result.stderr
    assert 'result: ok' in result.stdout
