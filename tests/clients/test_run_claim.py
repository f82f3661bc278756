# SPDX-License-Identifier: MIT
"""CreateVGPU of the control interface, which "aliquot run" rests on, called by hand."""

import socket

import pytest
from claims import MEDIATOR, Claim
from daemon import TIMEOUT, Daemon, at_end, echo
from runner import wait_until


@pytest.fixture(name='daemon', scope='module')
def running_daemon(tmp_path_factory):
    with Daemon(tmp_path_factory.mktemp('claim') / 'run', '--vgpu', 'desk') as daemon:
        yield daemon


def gone(daemon, *names):
    """The daemon takes an end of the claim before a later call, but the renderers take longer."""
    return wait_until(lambda: not set(names) & set(daemon.vgpus()))


def test_claim(daemon):
    with Claim(daemon, name='a') as claim:
        assert claim.answer() == {'continues': True, 'parameters': {
            'name': 'a', 'socket': str(daemon.dir / 'a.sock')}}
        connection = daemon.connect('a')
        assert echo(connection)
    assert at_end(connection)
    assert gone(daemon, 'a')
    connection.close()


def test_half_closed_is_not_the_end(daemon):
    with Claim(daemon, name='a') as claim:
        claim.answer()
        claim.socket.shutdown(socket.SHUT_WR)
        with daemon.connect('a') as connection:
            assert echo(connection)
    assert gone(daemon, 'a')


@pytest.mark.parametrize('parameters, error, detail', [
    ({'name': 'desk'}, 'NameTaken', "there is a vGPU 'desk' already (configured)"),
    ({'name': ''}, 'BadValue', "'' is no name"), ({'name': '../x'}, 'BadValue', 'is no name'),
    ({'name': 'x' * 64}, 'BadValue', 'is no name'), ({'name': 'auto-3'}, 'BadValue', 'is kept'),
    ({'gpu': 'fast'}, 'BadValue', "'fast' is no value for gpu"),
    ({'gpu': 'egl:9'}, 'BadValue', "there is no GPU 'egl:9'"),
    ({'backend': 'gl'}, 'BadValue', "'gl' is no value for backend"),
    ({'maxMemory': 1}, 'BadValue', 'out of range for max-memory'),
    ({'maxMemory': 1 << 60}, 'BadValue', 'out of range for max-memory')])
def test_refusals(daemon, parameters, error, detail):
    with Claim(daemon, **parameters) as claim:
        answer = claim.answer()
        assert answer['error'] == f'{MEDIATOR}.{error}'
        assert detail in answer['parameters']['message']
        # The connection is as good as before.
        claim.send({'method': f'{MEDIATOR}.GetInfo'})
        assert 'version' in claim.answer()['parameters']
    assert set(daemon.vgpus()) == {'desk'}


@pytest.mark.parametrize('parameters', [{'maxMemory': -1}, {'maxMemory': 'much'}, {'name': 7},
                                        {'colour': 'red'}])
def test_bad_parameters(daemon, parameters):
    with Claim(daemon, **parameters) as claim:
        answer = claim.answer()
        assert answer['error'] == 'org.varlink.service.InvalidParameter'
        assert answer['parameters']['parameter'] == next(iter(parameters))


def test_without_more(daemon):
    with Claim(daemon, more=False) as claim:
        assert claim.answer()['error'] == 'org.varlink.service.ExpectedMore'


def test_null_is_as_good_as_nothing(daemon):
    with Claim(daemon, name=None, gpu=None, backend=None, maxMemory=None) as claim:
        assert claim.answer()['parameters']['name'] == 'run-1'


def test_gpu_of_a_daemon_that_draws_nothing(tmp_path):
    with Daemon(tmp_path / 'run', '--backend=null') as daemon:
        with Claim(daemon) as claim:
            assert claim.answer()['continues']
        with Claim(daemon, backend='virgl') as claim:
            assert 'has looked for no GPU' in claim.answer()['parameters']['message']


def test_who_waits_for_a_name_gets_it_or_an_answer(daemon):
    """Its renderer hangs, and is killed soon after the claim has ended."""
    with Claim(daemon, name='hang') as claim:
        claim.answer()
        connection = daemon.connect('hang')
        assert echo(connection)
        connection.close()
    with Claim(daemon, name='hang') as given_up:
        del given_up
    with Claim(daemon, name='hang') as first, Claim(daemon, name='hang') as second:
        answers = [first.answer(), second.answer()]
        assert sorted('error' in answer for answer in answers) == [False, True]
        assert next(a for a in answers if 'error' in a)['error'] == f'{MEDIATOR}.NameTaken'
    assert gone(daemon, 'hang')


def test_a_hundred_claims_leave_nothing(daemon):
    def claim_once():
        with Claim(daemon, name='often') as claim:
            assert claim.answer()['continues']

    claim_once()
    assert gone(daemon, 'often')
    fds = daemon.fds()
    for _ in range(100):
        claim_once()
    assert gone(daemon, 'often')
    assert wait_until(lambda: daemon.fds() <= fds)  # the last call's connection may linger


def test_stop_with_claims(tmp_path):
    """Ends all of them and closes what else is connected to the control socket."""
    with Daemon(tmp_path / 'run') as daemon, Claim(daemon, name='deaf') as claim:
        claim.answer()
        with daemon.connect('deaf') as connection, \
                socket.socket(socket.AF_UNIX) as idle:
            assert echo(connection)
            idle.settimeout(TIMEOUT)
            idle.connect(str(daemon.dir / MEDIATOR))
            assert daemon.stop() == 0
            assert at_end(connection) and at_end(claim.socket) and at_end(idle)
    assert not (tmp_path / 'run').exists()
