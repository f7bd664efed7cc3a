import hashlib
import json
import pickle
from pathlib import Path

import pytest
from tiny_runs import build, tiny_config

from mmvidmae.datasets import VideoFileReader
from mmvidmae.visualization import read_losses


@pytest.fixture(scope='module')
def trained(video_dir, tmp_path_factory):
    """Work dir of a run of one epoch; its config is ``run.py``."""
    folder = tmp_path_factory.mktemp('trained')
    cfg = tiny_config(video_dir, folder / 'run', train_cfg__max_epochs=1, train_cfg__val_interval=1)
    build(cfg).train()
    cfg.dump(str(folder / 'run.py'))
    return folder


def test_metrics_and_predictions(trained, tmp_path, call_tool):
    checkpoint = trained / 'run' / 'epoch_1.pth'
    no_training_data = ['--cfg-options', 'train_dataloader.dataset.ann_file=missing.txt']
    arguments = [trained / 'run.py', checkpoint, '--work-dir', tmp_path / 'test', *no_training_data]
    call_tool('test.py', *arguments, '--out', 'metrics.json')
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert metrics['weights'] == dict(checkpoint=str(checkpoint), sha256=digest[:16])
    (test_log,) = (tmp_path / 'test').glob('*/*.log')
    assert f'Weights: {checkpoint} (SHA-256 {digest[:16]})' in test_log.read_text()
    log = next((trained / 'run').glob('*/vis_data/scalars.json')).read_text().splitlines()
    validated = next(line for line in map(json.loads, log) if 'reconstruction/mse' in line)
    for name in ('mse', 'constant_mse', 'ratio'):  # validation pairs and masks are the test's
        assert metrics[f'reconstruction/{name}'] == pytest.approx(validated[f'reconstruction/{name}'], rel=1e-5)

    call_tool('test.py', *arguments, '--out', 'predictions.pkl')
    predictions = pickle.loads((tmp_path / 'predictions.pkl').read_bytes())
    assert len(predictions) == 8
    assert predictions[0]['reconstruction'].shape == (2, 3, 32, 32)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['run.py', 'nothing.pth'], 'checkpoint nothing.pth does not exist'),
        (['run.py', '--out', 'metrics.csv'], 'expected a name in .json'),
        (['no_test.py'], 'no_test.py has no test_dataloader: there is nothing to test'),
    ],
)
def test_mistakes_give_one_clear_message(trained, call_tool, capsys, arguments, message):
    (trained / 'no_test.py').write_text('model = dict(type="X")\n')
    arguments = [str(trained / name) if name.endswith('.py') else name for name in arguments]
    with pytest.raises(SystemExit):
        call_tool('test.py', *arguments)
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_visualize_reconstruction(trained, video_dir, tmp_path, call_tool, capsys):
    tool = 'analysis_tools/visualize_reconstruction.py'
    model = [trained / 'run.py', trained / 'run' / 'epoch_1.pth']
    call_tool(tool, *model, video_dir / 'e.mp4', '--num', '2', '--out-dir', 'two')
    assert 'two: 2 pairs, mean error ' in capsys.readouterr().out
    assert len(json.loads((tmp_path / 'two/preds/e.json').read_text())['errors']) == 2
    call_tool(tool, *model, video_dir / 'e.mp4', '--frames', '3', '9', '--no-save-pred')
    assert not (tmp_path / 'outputs/preds').exists()
    pictures = [(tmp_path / name / 'vis/e.png').read_bytes() for name in ('two', 'outputs')]
    assert all(picture.startswith(b'\x89PNG') for picture in pictures)
    call_tool(tool, *model, video_dir / 'e.mp4', '--all', '--gap', '5', '9', '--vis-format', '.mp4')
    assert 'outputs: 31 pairs' in capsys.readouterr().out
    assert len(VideoFileReader(str(tmp_path / 'outputs/vis/e.mp4'))) == 36 - 5

    for arguments, message in [
        ([video_dir / 'e.mp4', '--frames', '3', '99'], 'number of frames of'),
        ([Path(__file__)], 'not a readable video'),
        ([video_dir / 'e.mp4', '--num', '0'], 'expected at least one, got 0'),
        ([video_dir / 'e.mp4', '--vis-format', '.doc'], 'vis_format must be one of'),
        ([video_dir / 'e.mp4', '--all', '--num', '3'], 'not allowed with argument'),
    ]:
        with pytest.raises(SystemExit):
            call_tool(tool, *model, *arguments)
        assert message in capsys.readouterr().err.splitlines()[-1]


def test_plot_loss(trained, tmp_path, call_tool, capsys):
    call_tool('analysis_tools/plot_loss.py', trained / 'run', '-o', 'loss.png')
    assert (tmp_path / 'loss.png').read_bytes().startswith(b'\x89PNG')
    first, second = capsys.readouterr().out.splitlines()[-2:]
    assert first == 'loss.png: loss curves of 1 run'
    losses = read_losses(trained / 'run')
    assert f'{trained / "run"}: training loss {losses.train[0, 1]:.3f} at iteration 1, ' in second
    assert f'held-out error {losses.val[0, 1]:.3f} to {losses.val[-1, 1]:.3f} in 1 validations' in second
    assert f'constant predictor {losses.constant[0, 1]:.3f}' in second
    with pytest.raises(SystemExit):
        call_tool('analysis_tools/plot_loss.py', tmp_path)
    assert 'no training log' in capsys.readouterr().err
