"""Every line of docs/inference.md runs as it stands."""

import pytest
import torch
from docs_check import checks_of, run_python
from docs_pages import ROOT, read_blocks
from PIL import Image

from mmvidmae.apis import get_model, list_models, model_zoo
from mmvidmae.registry import MODELS

PAGE = ROOT / 'docs/inference.md'
NAME = 'siammae_vit-small-p16_16xb64-amp-coslr-400e_k400'
SMALL = dict(backbone=dict(img_size=64), masking=dict(mask_ratio=(0.0, 0.75)), neck=dict(depth=1))
"""What differs from the recipe that the page uses, to save time."""


@pytest.fixture
def folder(tmp_path, write_video, monkeypatch):
    """The working folder of the page's reader."""
    write_video(tmp_path / 'video.mp4', 40)
    for name in ('a.jpg', 'b.jpg'):
        Image.new('RGB', (96, 64), 'green').save(tmp_path / name)
    (tmp_path / 'work_dirs' / 'my_siammae').mkdir(parents=True)
    for name in ('tools', 'configs'):
        (tmp_path / name).symlink_to(ROOT / name)
    config = tmp_path / 'my_siammae.py'
    config.write_text(f"_base_ = 'configs/siammae/{NAME}.py'\nmodel = {SMALL!r}\n")
    monkeypatch.setitem(model_zoo._CONFIGS, NAME, config)
    state_dict = get_model(NAME, device='cpu').state_dict()
    torch.save(dict(state_dict=state_dict), tmp_path / 'work_dirs' / 'my_siammae' / 'epoch_400.pth')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_page(folder):
    names = {}
    for _, manner, _, check in checks_of(PAGE, names):
        if manner == 'run':
            check()

    assert NAME in list_models('siammae*p16')
    assert names['features'].shape == (2, 384, 4, 6)
    assert names['tokens'].shape == (2, 1 + 24, 384)
    assert torch.equal(names['last'], names['features'])
    assert names['samples'][0].reconstruction.shape == (2, 3, 64, 64)
    for name in ('preds/video_layer11.npy', 'preds/video.json', 'vis/video.png', 'vis/video.mp4'):
        assert (folder / 'results' / name).is_file()
    (encoder,) = (folder / 'published').glob('siammae_encoder-*.pth')
    *_, backbone = read_blocks(PAGE)
    run_python(backbone, names)
    names['backbone']['init_cfg']['checkpoint'] = str(encoder)
    backbone = MODELS.build({**names['backbone'], **SMALL['backbone']})
    backbone.init_weights()
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, names['model'].state_dict()[f'backbone.{name}'].cpu()), name
