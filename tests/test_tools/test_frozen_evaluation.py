"""tools/test.py with the configs of frozen evaluation, and the tools that look into an encoder."""

import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from safetensors.torch import save_file
from tiny_runs import build, tiny_config

from mmvidmae.engine import PropagationVisHook
from mmvidmae.structures.label_maps import read_label_map

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def trained(tmp_path_factory, video_dir) -> Path:
    """Folders ``DropMAE`` and ``SiamMAE`` with ``run.py`` and ``epoch_1.pth``."""
    root = tmp_path_factory.mktemp('trained')
    for model in ('DropMAE', 'SiamMAE'):
        cfg = tiny_config(video_dir, root / model, model, train_cfg__max_epochs=1)
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        build(cfg).train()
        cfg.dump(str(root / model / 'run.py'))
    return root


def evaluation(davis: Path, folder: Path, init_cfg: dict | None = None, out_dir: str | None = None) -> Path:
    """A copy of a config, for the tiny encoder and small frames."""
    cfg = Config.fromfile(ROOT / 'configs/propagation/vit-small-p16_cropmae_davis2017.py')
    arch = dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96)
    cfg.model.backbone.update(arch=arch, img_size=32, patch_size=8, init_cfg=init_cfg)
    cfg.test_dataloader.dataset.update(data_root=str(davis))
    cfg.test_dataloader.update(num_workers=0)
    cfg.test_dataloader.dataset.pipeline[0].size = (64, 96)
    cfg.test_evaluator.out_dir = out_dir or str(folder / 'predictions')
    folder.mkdir()
    cfg.dump(str(folder / 'eval.py'))
    return folder / 'eval.py'


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(davis, trained, tmp_path, call_tool, start_tool):
    checkpoint = trained / 'SiamMAE' / 'epoch_1.pth'
    one, two = (evaluation(davis, tmp_path / name) for name in ('one', 'two'))
    launch = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', '--rdzv-backend=c10d']
    test = [ROOT / 'tools/test.py', two, checkpoint, '--launcher', 'pytorch', '--out', two.with_suffix('.json')]
    wait = start_tool(*launch, '--rdzv-endpoint=127.0.0.1:0', *test, '--work-dir', tmp_path / 'two/work')
    call_tool('test.py', one, checkpoint, '--out', one.with_suffix('.json'), '--work-dir', tmp_path / 'one/work')
    code, output = wait()
    assert code == 0, output
    scores = [json.loads(path.with_suffix('.json').read_text()) for path in (one, two)]
    assert scores[0] == scores[1]
    assert 0 < scores[0]['vos/J&F-Mean'] <= 100

    told = [json.loads((path.parent / 'predictions/vos_scores.json').read_text()) for path in (one, two)]
    assert told[0] == told[1]
    assert told[0]['protocol']['preset'] == 'cropmae'
    assert told[0]['input_size'] == '64x96'
    for name in 'abc':
        assert len(list((tmp_path / 'one/work').glob(f'*/vis_data/vis_image/propagation_{name}_0.png'))) == 1
        for path in sorted((tmp_path / f'one/predictions/{name}').iterdir()):
            assert np.array_equal(
                read_label_map(path), read_label_map(tmp_path / f'two/predictions/{name}' / path.name)
            )


@pytest.mark.slow
def test_everything_goes_to_the_work_dir_with_the_name_of_the_weights(davis, trained, tmp_path, call_tool, capsys):
    """A random baseline beside a trained model: other folders, and each file says whose scores it has."""
    config = evaluation(davis, tmp_path / 'eval', out_dir='predictions')
    checkpoint = trained / 'SiamMAE/epoch_1.pth'
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:16]
    call_tool('test.py', config, checkpoint, '--work-dir', 'trained', '--out', 'trained.json')
    call_tool('test.py', config, '--work-dir', 'random', '--out', 'random.json')
    weights = dict(trained=dict(checkpoint=str(checkpoint), sha256=digest), random='random weights')
    words = dict(trained=f'Weights: {checkpoint} (SHA-256 {digest})', random='Weights: random weights')
    for name in weights:
        scores = json.loads((tmp_path / name / 'predictions/vos_scores.json').read_text())
        assert scores['weights'] == weights[name]
        assert json.loads((tmp_path / f'{name}.json').read_text())['weights'] == weights[name]
        assert (tmp_path / name / 'predictions/a/00001.png').is_file()
        assert len(list((tmp_path / name).glob('*/vis_data/vis_image/propagation_a_0.png'))) == 1
        (log,) = (tmp_path / name).glob('*/*.log')
        assert words[name] in log.read_text()
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {'eval', 'trained', 'random', 'trained.json', 'random.json'}

    call_tool('test.py', config, '--work-dir', 'trained')
    assert 'had the scores of other weights' in capsys.readouterr().out


@pytest.mark.slow
def test_weights_that_an_init_cfg_loads_are_named(davis, trained, tmp_path, call_tool):
    checkpoint = trained / 'SiamMAE/epoch_1.pth'
    init = dict(type='Pretrained', checkpoint=str(checkpoint), prefix='backbone.')
    config = evaluation(davis, tmp_path / 'eval', init, out_dir='predictions')
    call_tool('test.py', config, '--work-dir', 'work')
    weights = json.loads((tmp_path / 'work/predictions/vos_scores.json').read_text())['weights']
    assert list(weights) == ['backbone']
    assert weights['backbone']['checkpoint'] == str(checkpoint)


def test_progress_in_frames(davis, tmp_path, call_tool):
    config = evaluation(davis, tmp_path / 'eval', out_dir='predictions')
    call_tool('test.py', config, '--work-dir', 'work', '--cfg-options', 'default_hooks.progress.interval=0')
    (log,) = (tmp_path / 'work').glob('*/*.log')
    found = re.findall(r'(\w): frame (\d+) of 12, [\d.]+ frames/s, eta: (\S+)', log.read_text())
    assert [int(number) for _, number, _ in found] == list(range(1, 13))
    assert ''.join(video for video, _, _ in found) == 'aaabbbbccccc'
    assert found[-1][2] == '0:00:00'


def test_ctrl_c_says_what_is_there(davis, tmp_path, call_tool, capsys, monkeypatch):
    """The interrupt comes when the masks of the first video are written."""
    config = evaluation(davis, tmp_path / 'eval', out_dir='predictions')
    draw = PropagationVisHook.after_test_iter

    def interrupt(hook, runner, batch_idx, **kwargs):
        if batch_idx == 1:
            raise KeyboardInterrupt
        draw(hook, runner, batch_idx, **kwargs)

    monkeypatch.setattr(PropagationVisHook, 'after_test_iter', interrupt)
    with pytest.raises(SystemExit) as error:
        call_tool('test.py', config, '--work-dir', 'work')
    assert error.value.code == 130
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(
        f'Interrupted. Videos that are done: 2; what was predicted is in {tmp_path}/work/predictions.'
    )
    assert 'run the same command again' in said
    assert (tmp_path / 'work/predictions/b/00003.png').is_file()


def test_a_checkpoint_that_does_not_fit_ends_the_test(davis, trained, tmp_path, call_tool):
    with pytest.raises(ValueError, match='does not fit the backbone'):
        call_tool(
            'test.py',
            evaluation(davis, tmp_path / 'x'),
            trained / 'DropMAE' / 'epoch_1.pth',
            '--work-dir',
            tmp_path / 'w',
        )


def test_correspondence(trained, davis, video_dir, tmp_path, call_tool, capsys):
    tool = 'analysis_tools/visualize_correspondence.py'
    model = [trained / 'SiamMAE' / 'run.py', trained / 'SiamMAE' / 'epoch_1.pth']
    frame = davis / 'JPEGImages/480p/a/00001.jpg'
    call_tool(tool, *model, frame, frame, '--point', '30', '20', '--short-side', '64', '-o', 'same.png')
    assert 'same.png: most similar at 28 20 (cosine 1.000)' in capsys.readouterr().out, 'the same cell, its center'
    call_tool(tool, model[0], 'none', f'{video_dir / "a.mp4"}:0', f'{video_dir / "a.mp4"}:5', '--point', '3', '4')
    assert (tmp_path / 'correspondence.png').read_bytes().startswith(b'\x89PNG')
    for arguments, message in [
        ([frame, frame, '--point', '96', '5'], 'lies outside frame a, which is 96 x 64'),
        ([f'{video_dir / "a.mp4"}:99', frame, '--point', '1', '1'], 'the video has frames 0 to 11'),
        ([tmp_path / 'none.jpg', frame, '--point', '1', '1'], 'none.jpg: No such file'),
    ]:
        with pytest.raises(SystemExit):
            call_tool(tool, *model, *arguments)
        assert message in capsys.readouterr().err.splitlines()[-1]


def test_attention_maps(trained, davis, tmp_path, call_tool, capsys):
    tool, frame = 'analysis_tools/visualize_attention.py', davis / 'JPEGImages/480p/a/00001.jpg'
    call_tool(tool, trained / 'SiamMAE/run.py', trained / 'SiamMAE/epoch_1.pth', frame, '-o', 'a.png')
    assert 'a.png: 3 heads' in capsys.readouterr().out
    drop = [trained / 'DropMAE/run.py', trained / 'DropMAE/epoch_1.pth', frame]
    call_tool(tool, *drop, '--point', '5', '5', '-o', 'b.png')
    for arguments, message in [
        (drop, 'no class token: choose a query'),
        ([*drop, '--point', '5', '64'], 'lies outside'),
    ]:
        with pytest.raises(SystemExit):
            call_tool(tool, *arguments)
        assert message in capsys.readouterr().err.splitlines()[-1]


def test_attention_share(trained, video_dir, tmp_path, call_tool, capsys):
    tool = 'analysis_tools/attention_share.py'
    drop = [trained / 'DropMAE/run.py', trained / 'DropMAE/epoch_1.pth']
    videos = [video_dir / 'b.mp4', video_dir / 'c.avi']
    call_tool(tool, *drop, *videos, '--pairs', '2', '--gap', '1', '5', '--csv', 'mass.csv', '--plot', 'mass.png')
    header, row = (tmp_path / 'mass.csv').read_text().split()
    assert header == 'layer,own,itself,other'
    assert sum(map(float, row.split(',')[1:])) == pytest.approx(1)
    assert (tmp_path / 'mass.png').read_bytes().startswith(b'\x89PNG')
    capsys.readouterr()
    with pytest.raises(SystemExit):
        call_tool(tool, trained / 'SiamMAE/run.py', trained / 'SiamMAE/epoch_1.pth', *videos)
    assert 'attention share is for DropMAE and TwinMAE' in capsys.readouterr().err


def test_poses_from_the_command_line(trained, tmp_path, call_tool):
    """JHMDB's layout with two frames that are the same: the joints stay where they are, up to a cell."""
    from scipy.io import savemat

    folder = tmp_path / 'jhmdb'
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8).repeat(2, 0).repeat(2, 1)
    for index in (1, 2, 3):
        path = folder / f'Rename_Images/clap/v/{index:05d}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    (folder / 'joint_positions/clap/v').mkdir(parents=True)
    joints = np.repeat(rng.uniform(20, 75, (2, 15, 1)), 3, axis=2)
    savemat(folder / 'joint_positions/clap/v/joint_positions.mat', dict(pos_img=joints))
    cfg = Config.fromfile(ROOT / 'configs/propagation/vit-small-p16_cropmae_jhmdb.py')
    arch = dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96)
    cfg.model.backbone.update(arch=arch, img_size=32, patch_size=8)
    cfg.model.protocol.temperature = 0.01
    cfg.test_dataloader.update(num_workers=0)
    cfg.test_dataloader.dataset.update(data_root=str(folder), sequences=['clap/v'])
    cfg.test_evaluator.out_dir = str(tmp_path / 'predictions')
    cfg.dump(str(tmp_path / 'pose.py'))
    torch.manual_seed(0)
    call_tool('test.py', tmp_path / 'pose.py', '--out', 'pose.json', '--work-dir', tmp_path / 'work')
    scores = json.loads((tmp_path / 'pose.json').read_text())
    assert max(value for name, value in scores.items() if 'PCK' in name) > 90, scores
    assert len(list((tmp_path / 'work').glob('*/vis_data/vis_image/propagation_clap_v_0.png'))) == 1


@pytest.mark.slow
def test_weights_of_init_cfg_must_be_whole(davis, trained, tmp_path, call_tool):
    """An encoder alone is whole; one that lacks a tensor gives no scores."""
    state = torch.load(trained / 'SiamMAE' / 'epoch_1.pth', weights_only=True)['state_dict']
    encoder = {name: value for name, value in state.items() if name.startswith('backbone.')}
    cfg = Config.fromfile(evaluation(davis, tmp_path / 'run'))
    cfg.test_dataloader.dataset.sequences = ['a']
    for part in (encoder, {name: value for name, value in encoder.items() if 'ln1.bias' not in name}):
        save_file(part, tmp_path / f'{len(part)}.safetensors')
        checkpoint = str(tmp_path / f'{len(part)}.safetensors')
        cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')
        cfg.dump(str(tmp_path / f'{len(part)}.py'))
    call_tool('test.py', tmp_path / f'{len(encoder)}.py', '--work-dir', tmp_path / 'w', '--out', tmp_path / 'x.json')
    assert (tmp_path / 'x.json').exists()
    with pytest.raises(ValueError, match=r'does not fit PairMAEViT: missing 3 parameters \(layers\.0\.ln1\.bias, '):
        call_tool('test.py', tmp_path / f'{len(part)}.py', '--work-dir', tmp_path / 'w')
