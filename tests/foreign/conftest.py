# SPDX-License-Identifier: MIT
import pytest

import columns as columns_


@pytest.fixture(scope='module')
def columns(tmp_path_factory):
    with columns_.columns(tmp_path_factory.mktemp('columns')) as running:
        yield running
