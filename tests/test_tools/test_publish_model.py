import hashlib
import json
import re
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from tiny_runs import build, tiny_config

from mmvidmae.apis import from_pretrained, get_model
from mmvidmae.converters import read_state_dict
from mmvidmae.registry import MODELS


@pytest.fixture(scope='module')
def trained(video_dir, tmp_path_factory):
    """The config and a checkpoint of a real run."""
    folder = tmp_path_factory.mktemp('trained')
    cfg = tiny_config(video_dir, folder / 'run', train_cfg__max_epochs=1)
    build(cfg).train()
    return cfg, folder / 'run' / 'epoch_1.pth'


@pytest.fixture
def published(trained, tmp_path, call_tool, capsys):
    """Files that the tool wrote, by part and suffix."""
    call_tool('publish_model.py', trained[1], 'new/folder', '--name', 'mine')
    files = list((tmp_path / 'new' / 'folder').iterdir())
    assert sorted(re.findall(r'mine\S+(?=:)', capsys.readouterr().out)) == sorted(path.name for path in files)
    assert len(files) == 4
    return {re.sub('-.{8}', '', path.name): path for path in files}


def test_names_carry_the_hash(published):
    assert published.keys() == {
        f'mine{part}{suffix}' for part in ('', '_encoder') for suffix in ('.pth', '.safetensors')
    }
    for path in published.values():
        assert path.stem.rpartition('-')[2] == hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def test_weights_and_nothing_else(trained, published):
    cfg, checkpoint = trained
    assert torch.load(published['mine.pth'], weights_only=True).keys() == {'state_dict'}
    assert not any(str(checkpoint.parent.parent).encode() in path.read_bytes() for path in published.values())

    expected = read_state_dict(checkpoint)
    encoder = {key: value for key, value in expected.items() if key.startswith('backbone.')}
    for name, path in published.items():
        weights = read_state_dict(path)
        wanted = encoder if 'encoder' in name else expected
        assert weights.keys() == wanted.keys()
        assert all(torch.equal(weights[key], value) for key, value in wanted.items())
    for suffix in ('.pth', '.safetensors'):
        get_model(Config(dict(model=cfg.model)), published[f'mine{suffix}'])


def test_encoder_loads_into_any_toolbox(trained, published):
    cfg, checkpoint = trained
    init_cfg = dict(type='Pretrained', checkpoint=str(published['mine_encoder.pth']), prefix='backbone.')
    sizes = {key: cfg.model.backbone[key] for key in ('arch', 'img_size', 'patch_size')}
    backbone = MODELS.build(
        dict(type='mmvidmae.PairMAEViT', frame_embed=True, with_cls_token=False, init_cfg=init_cfg, **sizes)
    )
    backbone.init_weights()
    expected = read_state_dict(checkpoint)
    assert all(torch.equal(value, expected[f'backbone.{key}']) for key, value in backbone.state_dict().items())


def test_repeated_runs_give_the_same_files(trained, published, tmp_path, call_tool):
    call_tool('publish_model.py', trained[1], 'again', '--name', 'mine')
    assert {path.name for path in (tmp_path / 'again').iterdir()} == {path.name for path in published.values()}


def test_default_name_is_that_of_the_training(trained, tmp_path, call_tool):
    call_tool('publish_model.py', trained[1], 'out')
    assert all(path.name.startswith('run_epoch_1') for path in (tmp_path / 'out').iterdir())


def test_mistakes_give_one_clear_message(tmp_path, call_tool, capsys):
    torch.save(dict(state_dict=dict(weight=torch.zeros(1))), tmp_path / 'other.pth')
    for name, message in [
        ('nothing.pth', 'nothing.pth is not a file'),
        ('other.pth', 'this is no model of mmvidmae'),
    ]:
        with pytest.raises(SystemExit):
            call_tool('publish_model.py', name, 'out')
        assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / 'out').exists()


def test_half_precision_halves_the_files(trained, published, tmp_path, call_tool):
    call_tool('publish_model.py', trained[1], 'half', '--name', 'mine', '--half')
    (path,) = (tmp_path / 'half').glob('mine-*.safetensors')
    assert path.stat().st_size < 0.6 * published['mine.safetensors'].stat().st_size
    weights, expected = read_state_dict(path), read_state_dict(trained[1])
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[key].float(), value.half().float()) for key, value in expected.items())
    model = get_model(Config(dict(model=trained[0].model)), path)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


PLAIN = """
import json
import sys
from mmpretrain.models import VisionTransformer

checkpoint, (arch, img_size, patch_size) = sys.argv[1], json.loads(sys.argv[2])
init_cfg = dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')
encoder = VisionTransformer(arch, img_size, patch_size, with_cls_token=False, out_type='featmap', init_cfg=init_cfg)
encoder.init_weights()
assert 'mmvidmae' not in sys.modules
print('sum', float(sum(p.double().sum() for name, p in encoder.layers.named_parameters())))
"""


@pytest.mark.slow
def test_a_checkpoint_of_a_training_loads_in_plain_mmpretrain(trained):
    """In a process that has not imported us."""
    cfg, checkpoint = trained
    sizes = json.dumps([cfg.model.backbone[key] for key in ('arch', 'img_size', 'patch_size')])
    command = [sys.executable, '-c', PLAIN, checkpoint, sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    state = read_state_dict(checkpoint)
    expected = sum(value.double().sum() for name, value in state.items() if name.startswith('backbone.layers.'))
    assert float(done.stdout.split('sum')[-1]) == pytest.approx(float(expected), abs=1e-6)


class TestFolder:
    def test_one_command_publishes_and_one_line_loads(self, trained, tmp_path, call_tool):
        cfg, checkpoint = trained
        Config(dict(model=cfg.model)).dump(tmp_path / 'model.py')
        options = ('--name', 'mine', '--config', 'model.py', '--license', 'apache-2.0')
        call_tool('publish_model.py', checkpoint, 'out', *options)
        encoder = from_pretrained(tmp_path / 'out/mine_encoder')
        model = get_model(Config(dict(model=cfg.model)), checkpoint, device='cpu')
        frames = torch.randn(1, 3, *model.backbone.img_size)
        assert torch.equal(encoder(frames)[-1], model.backbone(frames)[-1])
        assert encoder.about['license'] == 'apache-2.0'
        assert encoder.about['method'] == cfg.model.type.removeprefix('mmvidmae.')
        assert encoder.about['preprocessing']['mean'] == model.data_preprocessor.mean.flatten().tolist()

    def test_an_upload_is_refused_without_its_package_or_a_config(
        self, trained, tmp_path, call_tool, monkeypatch, capsys
    ):
        monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
        cfg, checkpoint = trained
        Config(dict(model=cfg.model)).dump(tmp_path / 'model.py')
        with pytest.raises(SystemExit):
            call_tool('publish_model.py', checkpoint, 'out', '--config', 'model.py', '--push', 'user/name')
        assert 'run `pip install huggingface_hub`' in capsys.readouterr().err
        with pytest.raises(SystemExit):
            call_tool('publish_model.py', checkpoint, 'out', '--push', 'user/name')
        assert 'need --config' in capsys.readouterr().err
