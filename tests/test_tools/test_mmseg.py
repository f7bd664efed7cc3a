"""mmseg's own tools train and test a config of ours, as `mim train mmseg` and `mim test mmseg` start them."""

import sys
from pathlib import Path

import pytest
from mmengine.config import Config

mmseg = pytest.importorskip('mmseg')
pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(mmseg.__file__).parent / '.mim/tools'


def test_mmsegs_own_tools(davis, tmp_path, start_tool):
    cfg = Config.fromfile(ROOT / 'configs/small/fcn_dropmae-vit-tiny6-p8_1xb8-300i_davis2016-128x128.py')
    cfg.model.backbone.arch = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
    cfg.model.backbone.out_indices = (0, 1)
    for head in (cfg.model.decode_head, cfg.model.auxiliary_head):
        head.update(in_channels=32, channels=8)
    cfg.optim_wrapper.paramwise_cfg.num_layers = 2
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.update(data_root=str(davis), sequences=['a', 'b'])
    cfg.train_dataloader.batch_size = 2
    cfg.param_scheduler = []
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.default_hooks.checkpoint.interval = 2
    cfg.dump(str(tmp_path / 'config.py'))
    code, output = start_tool(sys.executable, TOOLS / 'train.py', tmp_path / 'config.py', '--work-dir', 'work')()
    assert code == 0, output
    assert 'mIoU' in output
    code, output = start_tool(sys.executable, TOOLS / 'test.py', tmp_path / 'config.py', tmp_path / 'work/iter_2.pth')()
    assert code == 0, output
    assert 'mIoU' in output
