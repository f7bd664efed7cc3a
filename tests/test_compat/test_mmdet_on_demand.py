"""mmdet is not imported with mmpretrain's models, and the class that needs it is still there."""

import subprocess
import sys

import pytest

pytest.importorskip('mmdet')
CODE = """
import sys
import mmvidmae.models
print('mmdet.models' in sys.modules)
import importlib, torch
from mmdet.registry import MODELS
from mmpretrain.models.utils import ResLayerExtraNorm
importlib.import_module('mmpretrain.models.utils.res_layer_extra_norm')  # as custom_imports of a config does
sizes = dict(depth=18, stage=3, stride=2, norm_cfg=dict(type='BN'), style='pytorch')
built = [MODELS.build(dict(type='ResLayerExtraNorm', **sizes)) for _ in range(2)] + [ResLayerExtraNorm(**sizes)]
print({type(layer).__mro__[1].__name__ for layer in built}, built[0](torch.zeros(1, 256, 8, 8)).shape)
"""


def test_a_head_of_mmdet_is_built_by_its_name():
    done = subprocess.run([sys.executable, '-c', CODE], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ['False', "{'ResLayer'} torch.Size([1, 512, 4, 4])"], done.stderr[-2000:]
