"""A process of its own: mmtrack through the bridge. Prints a JSON line of what it found."""

import importlib
import json
import pkgutil
import sys
import warnings
from pathlib import Path

import mmcv
import mmdet.models.layers
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmvidmae.compat.mmtrack import enable

warnings.simplefilter('ignore')
before = mmcv.__version__, mmdet.__version__, sorted(dir(mmdet.models.layers))
enable()
enable()
found = dict(unchanged=before == (mmcv.__version__, mmdet.__version__, sorted(dir(mmdet.models.layers))))
found['mmcls'] = 'mmcls' in sys.modules

import mmtrack  # noqa: E402
from mmtrack.registry import MODELS  # noqa: E402
from mmtrack.testing import demo_mm_inputs  # noqa: E402

failed = {}
for module in pkgutil.walk_packages(mmtrack.__path__, 'mmtrack.'):
    try:
        importlib.import_module(module.name)
    except Exception as error:
        failed[module.name] = repr(error)
found['failed'] = failed
init_default_scope('mmtrack')

CONFIGS = Path(mmtrack.__file__).parent / '.mim/configs/sot'
OURS = Path(__file__).resolve().parents[2] / 'configs'
TINY = dict(embed_dims=48, num_layers=1, num_heads=3, feedforward_channels=96)
SHIPPED = {
    'stark1': ('stark/stark-st1_r50_8xb16-500e_got10k.py', 2, 1, 128, 320),
    'stark2': ('stark/stark-st2_r50_8xb16-50e_got10k.py', 2, 1, 128, 320),
    'siamrpn': ('siamese_rpn/siamese-rpn_r50_8xb28-20e_imagenetvid-imagenetdet-coco_test-lasot.py', 1, 1, 127, 255),
    'dropmae': (OURS / 'dropmae/benchmarks/stark-st1_dropmae-vit-base-p16_8xb16-500e_got10k.py', 2, 1, 128, 320),
    'siammae': (OURS / 'siammae/benchmarks/stark-st1_siammae-vit-small-p16_8xb16-500e_got10k.py', 2, 1, 128, 320),
    'prdimp': ('prdimp/prdimp_r50_8xb10-50e_got10k.py', 2, 2, 288, 288),
}
found['losses'] = {}
for name, (path, templates, searches, template, search) in SHIPPED.items():
    torch.manual_seed(0)
    cfg = Config.fromfile(CONFIGS / path).model
    cfg.backbone.init_cfg = None
    cfg.init_cfg = None
    if name in ('dropmae', 'siammae'):  # first at full size
        width = MODELS.build(cfg.backbone).embed_dims
        assert cfg.neck.in_channels == [width]
        cfg.backbone.arch, cfg.neck.in_channels = TINY, [48]
    model = MODELS.build(cfg)
    model.init_weights()
    model.train()
    batch_size = 2  # PrDiMP normalizes a batch of single values
    packed = demo_mm_inputs(
        batch_size=batch_size,
        frame_id=0,
        num_template_imgs=templates,
        num_search_imgs=searches,
        image_shapes=[[(3, template, template), (3, search, search)]] * batch_size,
        num_items=[templates if name == 'prdimp' else 1] * batch_size,
        num_classes=2,
        ref_prefix='search',
    )
    data = model.data_preprocessor(packed, True)
    if cfg.type == 'Stark':
        for sample in data['data_samples']:
            sample.padding_mask = torch.zeros(templates, template, template, dtype=torch.bool)
            sample.search_padding_mask = torch.zeros(searches, search, search, dtype=torch.bool)
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=1e-4)
    parsed, _ = model.parse_losses(model(**data, mode='loss'))
    parsed.backward()
    moved = [p.detach().clone() for p in model.parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    optimizer.step()
    found['losses'][name] = [parsed.item(), len(moved)]
print('FOUND ' + json.dumps(found))
