# SPDX-License-Identifier: MIT
"""Containers for tests: an OCI bundle of this machine's /usr, what a CDI specification adds to it,
and crun, which runs it. A container has no network, no /dev/dri and no rights."""

import json
import os
import shutil
import subprocess

CAPABILITIES = ('bounding', 'effective', 'inheritable', 'permitted', 'ambient')


def bind(path):
    return {'destination': path, 'type': 'bind', 'source': path,
            'options': ['rbind', 'ro', 'nosuid', 'nodev']}


def tmpfs(path, *options):
    return {'destination': path, 'type': 'tmpfs', 'source': 'tmpfs',
            'options': ['nosuid', 'mode=755', *options]}


class Bundle:
    """A folder with a root file system and config.json."""

    def __init__(self, path, program, user=0):
        self.path = path
        for folder in 'proc', 'dev', 'tmp', 'run', 'usr', 'etc':
            (path / 'rootfs' / folder).mkdir(parents=True)
        for link in 'bin', 'sbin', 'lib', 'lib64':
            if os.path.islink('/' + link):
                (path / 'rootfs' / link).symlink_to('usr/' + link)
        self.config = {
            'ociVersion': '1.0.2',
            'process': {
                'user': {'uid': user, 'gid': user}, 'cwd': '/', 'noNewPrivileges': True,
                'args': [str(word) for word in program], 'env': ['PATH=/usr/bin:/bin'],
                'capabilities': {kind: [] for kind in CAPABILITIES},
            },
            'root': {'path': 'rootfs', 'readonly': True},
            'mounts': [
                {'destination': '/proc', 'type': 'proc', 'source': 'proc'},
                tmpfs('/dev'), tmpfs('/tmp', 'nodev', 'mode=1777'), tmpfs('/run', 'nodev'),
                bind('/usr'), bind('/etc'),
            ],
            'linux': {'namespaces': [{'type': kind} for kind in
                                     ('pid', 'network', 'ipc', 'uts', 'mount')]},
        }

    def write(self):
        (self.path / 'config.json').write_text(json.dumps(self.config))


def set_variable(env, text):
    """As engines do: one of the same name is replaced."""
    name = text.split('=', 1)[0] + '='
    env[:] = [other for other in env if not other.startswith(name)] + [text]


def apply_cdi(config, spec, device):
    """What a container engine makes of --device KIND=NAME, for the edits that we use."""
    kind, _, name = device.partition('=')
    assert spec['kind'] == kind
    found, = [d for d in spec['devices'] if d['name'] == name]
    for edits in spec.get('containerEdits', {}), found['containerEdits']:
        assert set(edits) <= {'env', 'mounts'}
        for text in edits.get('env', []):
            set_variable(config['process']['env'], text)
        for mount in edits.get('mounts', []):
            config['mounts'].append({'source': mount['hostPath'], 'options': mount['options'],
                                     'destination': mount['containerPath'], 'type': 'bind'})


class Crun:
    """crun as it works on this machine."""

    # Where version 2 of cgroups is mounted beside version 1, crun refuses to start even with
    # nothing to do there: it has not to see that.
    COVER = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c',
             'mount -t tmpfs none /sys/fs/cgroup && exec "$@"', 'sh']

    def __init__(self, folder):
        self.state = folder / 'state'
        self.prefix = []
        self.number = 0
        self.unusable = None
        if not shutil.which('crun'):
            self.unusable = 'crun is not installed'
            return
        for number, self.prefix in enumerate(([], self.COVER)):
            result = self.run(Bundle(folder / f'try{number}', ['true']))
            if result.returncode == 0:
                return
        self.unusable = f'crun does not run here: {result.stderr}'

    def run(self, bundle, timeout=120):
        bundle.write()
        self.number += 1
        return subprocess.run(
            [*self.prefix, 'crun', '--root', self.state, '--cgroup-manager=disabled', 'run',
             '--bundle', bundle.path, f'aliquot-test-{os.getpid()}-{self.number}'],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)
