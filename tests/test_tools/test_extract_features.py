"""From a video to a .npy file in one line."""

import numpy as np
import pytest
import torch
from tiny_runs import tiny_config

from mmvidmae.apis import FeatureInferencer, get_model
from mmvidmae.models import PairMAEViT

TOOL = 'extract_features.py'


@pytest.fixture
def model(video_dir, tmp_path):
    """Config and checkpoint of a tiny model, and the model."""
    cfg = tiny_config(video_dir, tmp_path / 'run', 'SiamMAE')
    cfg.dump(str(tmp_path / 'run.py'))
    model = get_model(cfg, device='cpu')
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'epoch_1.pth')
    return tmp_path / 'run.py', tmp_path / 'epoch_1.pth', model


def test_features_of_a_video(model, video_dir, tmp_path, call_tool, capsys):
    call_tool(TOOL, *model[:2], video_dir / 'b.mp4', '--out-dir', 'out', '--short-side', '32', '--batch-size', '7')
    assert 'out: 18 frames, float32 (18, 48, 4, 5)' in capsys.readouterr().out
    assert not (tmp_path / 'out/vis').exists()
    expected = FeatureInferencer(model[2])(video_dir / 'b.mp4', short_side=32)['predictions']
    np.testing.assert_allclose(np.load(tmp_path / 'out/preds/b_layer1.npy'), expected.numpy(), atol=1e-5)
    options = ['--short-side', '0', '--layer', '0', '--tokens', '--half']
    call_tool(TOOL, model[0], 'none', video_dir / 'a.mp4', video_dir / 'b.mp4', '--save-vis', *options)
    both = np.load(tmp_path / 'outputs/preds/frames_layer0.npy', mmap_mode='r')
    assert (both.shape, both.dtype) == ((30, 1 + 6 * 8, 48), np.float16)
    assert (tmp_path / 'outputs/vis/frames.mp4').exists()


def test_mistakes_and_ctrl_c_leave_no_file(model, video_dir, tmp_path, call_tool, capsys, monkeypatch):
    for arguments, message in [
        ([tmp_path / 'no.mp4'], 'no.mp4'),
        ([video_dir / 'a.mp4', '--layer', '9'], 'layers must lie between -2 and 1'),
    ]:
        with pytest.raises(SystemExit):
            call_tool(TOOL, *model[:2], *arguments)
        assert message in capsys.readouterr().err.splitlines()[-1]

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(PairMAEViT, 'embed', interrupt)
    with pytest.raises(SystemExit) as error:
        call_tool(TOOL, *model[:2], video_dir / 'a.mp4')
    assert error.value.code == 130
    assert capsys.readouterr().out.splitlines()[-1] == 'interrupted after 0 frames: nothing was written'
    assert not list(tmp_path.rglob('*.npy*'))
