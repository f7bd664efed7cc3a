"""Files of strangers: what is read, what is refused, and that nothing in them is ever run."""

import argparse
import collections
import os
import pickle
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mmvidmae.converters import CheckpointError, read_state_dict, write_state_dict

STATE = {
    'a': torch.arange(6.0).view(2, 3).t(),
    'b': torch.nn.Parameter(torch.ones(2)),
    'c': torch.ones(3, dtype=torch.bfloat16),
}
LEGACY = pytest.mark.parametrize('legacy', [False, True], ids=['zip', 'legacy'])


class Runs:
    """Unpickled, it calls a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def save(path: Path, content, legacy: bool) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def assert_equal(actual: dict, expected: dict) -> None:
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert type(actual[name]) is torch.Tensor
        assert not actual[name].requires_grad
        assert torch.equal(actual[name], value)
        assert actual[name].dtype == value.dtype


@LEGACY
@pytest.mark.parametrize(
    'nest',
    [
        lambda state: state,
        lambda state: dict(state_dict=state, meta=dict(epoch=1)),
        lambda state: dict(model=state, optimizer={}, epoch=3, args=argparse.Namespace(lr=1e-4)),
        lambda state: dict(student={'other': torch.zeros(1)}, teacher=state, epoch=1),
        lambda state: dict(net=collections.OrderedDict(state)),
        lambda state: dict(model={f'module.{key}': value for key, value in state.items()}),
    ],
    ids=['bare', 'mmengine', 'mae', 'dino', 'droptrack', 'ddp'],
)
def test_containers_and_prefixes(tmp_path, nest, legacy):
    assert_equal(read_state_dict(save(tmp_path / 'c.pth', nest(STATE), legacy)), STATE)


@LEGACY
def test_foreign_objects_are_not_imported(tmp_path, monkeypatch, legacy):
    package = types.ModuleType('their_training_code')
    exec_log = []
    for name in ('Settings', 'StatValue', 'Table'):
        base = dict if name == 'Table' else object
        cls = type(name, (base,), {'__module__': package.__name__, '__setstate__': lambda _, s: exec_log.append(s)})
        setattr(package, name, cls)
    monkeypatch.setitem(sys.modules, package.__name__, package)
    settings, table = package.Settings(), package.Table(loss=1.0)
    settings.paths = [Path('/x'), {1, 2}, collections.defaultdict(list, a=[table])]
    content = dict(net=STATE, settings=settings, stats=collections.OrderedDict(train=[package.StatValue(), table]))
    path = save(tmp_path / 'DropTrack.pth.tar', content, legacy)

    assert_equal(read_state_dict(path), STATE)  # even where the code could be imported, it is not used
    assert not exec_log
    monkeypatch.delitem(sys.modules, package.__name__)
    assert_equal(read_state_dict(path), STATE)


@LEGACY
@pytest.mark.parametrize('nested', [False, True], ids=['alone', 'beside weights'])
@pytest.mark.parametrize('function', [os.system, subprocess.check_output, eval, exec])
def test_malicious_pickle_is_refused_unexecuted(tmp_path, function, nested, legacy):
    trace = tmp_path / 'executed'
    code = f'open({str(trace)!r}, "w")' if function in (eval, exec) else f'touch {trace}'
    content = Runs(function, ['touch', str(trace)] if function is subprocess.check_output else code)
    path = save(tmp_path / 'evil.pth', dict(model=STATE, args=content) if nested else content, legacy)
    with pytest.raises(CheckpointError, match='asks to run'):
        read_state_dict(path)
    assert not trace.exists()
    if not legacy:  # the file is indeed malicious
        try:
            torch.load(path, weights_only=False)
        finally:
            assert trace.exists()


@LEGACY
def test_other_calls_are_inert(tmp_path, legacy):
    trace = tmp_path / 'made'
    content = dict(model=STATE, args=[Runs(Path.mkdir, trace), Runs(os.path.join, 'a', 'b'), Runs(getattr, STATE, 'x')])
    assert_equal(read_state_dict(save(tmp_path / 'c.pth', content, legacy)), STATE)
    assert not trace.exists()


def test_a_pickle_cannot_change_what_it_is_given(tmp_path):
    rebuild = torch._utils._rebuild_tensor_v2
    before = rebuild.__defaults__, dict(vars(rebuild))
    # GLOBAL; (None, {'__defaults__': (1,)}); BUILD: sets attributes of a function
    path = tmp_path / 'evil.pth'
    path.write_bytes(b'\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__K\x01\x85s\x86b.')
    with pytest.raises(CheckpointError):
        read_state_dict(path)
    assert (rebuild.__defaults__, dict(vars(rebuild))) == before


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'cannot be read as a checkpoint'),
        (b'no checkpoint', 'cannot be read as a checkpoint'),
        (pickle.dumps({'a': 1}), 'cannot be read as a checkpoint'),
    ],
)
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors', '.npz'])
def test_damaged_files(tmp_path, content, message, suffix):
    path = tmp_path / f'bad{suffix}'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_state_dict(path)


def test_truncated_file(tmp_path):
    path = save(tmp_path / 'c.pth', STATE, False)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match=r'c\.pth cannot be read'):
        read_state_dict(path)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (dict(epoch=3), 'has no parameters'),
        ([torch.ones(1)], 'has no parameters'),
        (dict(model=dict(a=torch.ones(1), best=0.5)), 'are not tensors: best'),
        ({0: torch.ones(1)}, 'not named by strings'),
    ],
)
def test_files_without_parameters(tmp_path, content, message):
    with pytest.raises(CheckpointError, match=message):
        read_state_dict(save(tmp_path / 'c.pth', content, False))


def test_missing_file_and_torchscript(tmp_path):
    with pytest.raises(CheckpointError, match='is not a file'):
        read_state_dict(tmp_path / 'none.pth')
    torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)).save(tmp_path / 'c.pt')
    with pytest.raises(CheckpointError, match='TorchScript'):
        read_state_dict(tmp_path / 'c.pt')


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_written_files_hold_tensors_and_strings(tmp_path, suffix):
    path = tmp_path / 'new folder' / f'c{suffix}'
    shared = torch.randn(1000, 2)
    state = {'first': shared[:1], 'same': shared[:1], 'column': shared[:3, 1:], 'half': shared[:2].bfloat16()}
    write_state_dict(state, path, dict(converted_from='dropmae'))
    assert_equal(read_state_dict(path), state)
    assert path.stat().st_size < 4000  # not the storage that the views share
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    if suffix == '.pth':
        assert torch.load(path, weights_only=True)['meta'] == dict(converted_from='dropmae')
    else:
        with safe_open(path, 'pt') as file:
            assert file.metadata() == dict(converted_from='dropmae')


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'c.pth'
    write_state_dict(STATE, path, {})

    def fail(*_):
        raise OSError('disk full')

    monkeypatch.setattr(os, 'replace', fail)
    with pytest.raises(OSError, match='disk full'):
        write_state_dict({'a': torch.zeros(1)}, path, {})
    assert_equal(read_state_dict(path), STATE)
    assert [file.name for file in tmp_path.iterdir()] == ['c.pth']


def test_safetensors_of_others(tmp_path):
    save_file({'module.a': torch.ones(2)}, tmp_path / 'c.safetensors')
    assert_equal(read_state_dict(tmp_path / 'c.safetensors'), {'a': torch.ones(2)})
