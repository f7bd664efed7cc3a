import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import CheckpointLoader
from mmengine.utils import digit_version

import mmvidmae.compat

pytestmark = pytest.mark.skipif(
    digit_version(torch.__version__) < digit_version('2.6.0'), reason='torch.load does not check globals by default'
)


@pytest.fixture
def checkpoint(tmp_path):
    """A file with a message hub's state, as MMEngine's checkpoints hold it."""
    hub = MessageHub('test_checkpoint_globals')
    for loss in (1.5, 0.5):
        hub.update_scalar('train/loss', loss)
    hub.update_info('best_score', np.float64(0.25))
    path = tmp_path / 'checkpoint.pth'
    torch.save(dict(message_hub=hub.state_dict()), path)
    return path


def check(path):
    hub = torch.load(path, weights_only=True)['message_hub']
    loss = hub['log_scalars']['train/loss']
    assert loss.data[0].tolist() == [1.5, 0.5]
    assert (loss.mean(), loss.statistics('min'), loss.current()) == (1.0, 0.5, 0.5)
    assert hub['runtime_info']['best_score'] == 0.25


def test_checkpoint_of_mmengine_loads(checkpoint):
    check(checkpoint)


@pytest.mark.parametrize('module', [b'numpy.core.multiarray', b'numpy._core.multiarray'])
def test_checkpoint_of_either_numpy_loads(checkpoint, tmp_path, module):
    other = tmp_path / 'other.pth'
    with zipfile.ZipFile(checkpoint) as source, zipfile.ZipFile(other, 'w') as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith('data.pkl'):
                assert b'multiarray\n' in data
                data = data.replace(b'numpy._core.multiarray\n', b'numpy.core.multiarray\n')
                data = data.replace(b'numpy.core.multiarray\n', module + b'\n')
            target.writestr(name, data)
    check(other)


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


LOADERS = dict(torch=lambda path: torch.load(path, weights_only=True), mmengine=CheckpointLoader.load_checkpoint)
each_loader = pytest.mark.parametrize('load', LOADERS.values(), ids=LOADERS)


@each_loader
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, load):
    victim = tmp_path / 'created'
    torch.save(dict(state_dict={}, meta=Call(os.mkdir, str(victim))), tmp_path / 'evil.pth')
    with pytest.raises(pickle.UnpicklingError, match='mkdir'):
        load(str(tmp_path / 'evil.pth'))
    assert not victim.exists()


@each_loader
@pytest.mark.parametrize(
    ('owner', 'name'),
    [(HistoryBuffer, '__init__'), (HistoryBuffer, 'register_statistics'), (np.ndarray, 'tofile'), (np.dtype, 'mean')],
)
def test_getattr_reaches_only_statistics(tmp_path, owner, name, load):
    torch.save(Call(getattr, owner, name), tmp_path / 'evil.pth')
    with pytest.raises(pickle.UnpicklingError, match='must not access attribute'):
        load(str(tmp_path / 'evil.pth'))


def test_applying_again_changes_nothing():
    before = torch.serialization.get_safe_globals()
    mmvidmae.compat.apply()
    assert sorted(map(str, torch.serialization.get_safe_globals())) == sorted(map(str, before))
