import json

import pytest

from mmvidmae.visualization import plot_losses, read_losses


def write(work_dir, time, lines):
    folder = work_dir / time / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text('\n'.join(lines))


def train(step, loss):
    return json.dumps(dict(loss=loss, epoch=1, iter=step, step=step))


def val(epoch, mse):
    return json.dumps({'reconstruction/mse': mse, 'reconstruction/constant_mse': 0.99, 'step': epoch})


@pytest.fixture
def work_dir(tmp_path):
    """A run killed while it wrote a line, the run that resumed it from step 20, and a test run."""
    first = [train(10, 1.0), train(20, 0.9), val(1, 0.8), train(30, 5.0), train(40, 5.0), val(2, 5.0), '{"loss": 0.']
    write(tmp_path, '20260101_000000', first)
    write(tmp_path, '20260101_010000', [train(30, 0.7), train(40, 0.6), val(2, 0.5)])
    write(tmp_path, '20260101_020000', [val(0, 7.0)])
    return tmp_path


def test_resumed_run_replaces_what_was_lost(work_dir):
    losses = read_losses(work_dir)
    assert losses.train.tolist() == [[10, 1.0], [20, 0.9], [30, 0.7], [40, 0.6]]
    assert losses.val.tolist() == [[20, 0.8], [40, 0.5]]
    assert losses.constant.tolist() == [[20, 0.99], [40, 0.99]]


def test_folder_without_log_is_named(tmp_path):
    with pytest.raises(ValueError, match=str(tmp_path)):
        read_losses(tmp_path)


def test_plot(work_dir, tmp_path):
    plot_losses([work_dir, work_dir], tmp_path / 'loss.png')
    assert (tmp_path / 'loss.png').read_bytes().startswith(b'\x89PNG')
