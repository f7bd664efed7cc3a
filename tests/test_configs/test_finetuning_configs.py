"""Configs of mmseg, mmpretrain and DropSeg on our encoders: they build, train and load weights."""

from operator import attrgetter
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS, DefaultScope
from mmpretrain.structures import DataSample

import mmvidmae.registry  # noqa: F401
from mmvidmae.models.backbones import PairMAEViT

pytest.importorskip('mmseg')
import mmseg.datasets
import mmseg.engine
import mmseg.models  # noqa: F401

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
BENCHMARKS = sorted(CONFIGS.glob('*/benchmarks/*.py'))
CLASSIFICATION = [path for path in BENCHMARKS if path.stem.startswith(('linear_', 'finetune_'))]
SEGMENTATION = [path for path in BENCHMARKS if path.stem.startswith(('fcn_', 'setr-pup_', 'upernet_'))]
DROPSEG = sorted((CONFIGS / 'dropseg').glob('*.py'))


def build(config: Config) -> torch.nn.Module:
    with DefaultScope.overwrite_default_scope(config.default_scope), torch.device('meta'):
        return MODELS.build(config.model)


@pytest.mark.parametrize('path', [*SEGMENTATION, *(CONFIGS / 'small').glob('fcn_*.py')], ids=lambda path: path.stem)
def test_segmentors_train_and_predict(path):
    """With an encoder of the same form and narrow heads, on a picture that patches do not divide but for the crop."""
    config = Config.fromfile(path)
    config.model.backbone.update(init_cfg=None)
    if path.parent.name != 'small':
        layers = max(config.model.backbone.out_indices) + 1
        config.model.backbone.update(
            arch=dict(embed_dims=48, num_layers=layers, num_heads=3, feedforward_channels=48), img_size=32
        )
        if 'neck' in config.model:
            config.model.neck.embed_dim = 48
        heads = [config.model.decode_head, *_listed(config.model.auxiliary_head)]
        for head in heads:
            head.in_channels = [48] * 4 if isinstance(head.in_channels, list) else 48
            head.channels = 16
    config.model.test_cfg = dict(mode='whole')
    for head in (config.model.decode_head, *_listed(config.model.auxiliary_head)):
        head.norm_cfg = dict(type='BN')
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(config.model)
        model.init_weights()
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample

        size = (64, 96)
        samples = []
        for _ in range(2):
            sample = SegDataSample(metainfo=dict(ori_shape=size, img_shape=size, padding_size=[0] * 4))
            sample.gt_sem_seg = PixelData(data=torch.randint(2, (1, *size)))
            samples.append(sample)
        images = torch.randn(2, 3, *size)
        losses = model(images, samples, mode='loss')
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        assert model.backbone.layers[0].ffn.layers[1].weight.grad.abs().sum() > 0
        model.eval()
        with torch.no_grad():
            predicted = model(images, samples, mode='predict')
        assert predicted[0].pred_sem_seg.data.shape == (1, *size)


@pytest.mark.parametrize('path', CLASSIFICATION, ids=lambda path: path.stem)
def test_classifiers_train_and_predict(path):
    config = Config.fromfile(path)
    config.model.backbone.update(
        arch=dict(embed_dims=48, num_layers=12, num_heads=3, feedforward_channels=48), img_size=32, init_cfg=None
    )
    config.model.head.update(in_channels=48, num_classes=5)
    config.model.train_cfg = None
    if config.model.get('neck'):
        config.model.neck.input_features = 48
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(config.model)
        model.init_weights()
        samples = [DataSample().set_gt_label(label) for label in (1, 4)]
        images = torch.randn(2, 3, 64, 64)
        before = {name: p.clone() for name, p in model.named_parameters()}
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
        model(images, samples, mode='loss')['loss'].backward()
        optimizer.step()
        moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
        assert any(name.startswith('head.') for name in moved)
        in_layers = any(name.startswith('backbone.layers.') for name in moved)
        assert in_layers != (path.stem.startswith('linear_')), 'a probe leaves the encoder alone'
        assert model.eval()(images, samples, mode='predict')[0].pred_score.shape == (5,)


def _listed(heads) -> list:
    return list(heads) if isinstance(heads, list | tuple) else [heads]


def test_a_users_mmseg_config_becomes_ours_by_its_backbone_alone(tmp_path):
    """mmseg's own config of MAE's UPerNet; weights of a pre-training by init_cfg alone."""
    base = get_config('mmseg::mae/mae-base_upernet_8xb2-amp-160k_ade20k-512x512.py')
    encoder = PairMAEViT('base', 224, 16, frame_embed=True, with_cls_token=False)
    state = {f'backbone.{name}': value for name, value in encoder.state_dict().items()}
    torch.save(dict(state_dict={**state, 'neck.mask_token': torch.zeros(1)}), tmp_path / 'pretrained.pth')
    base.model.pretrained = None
    base.model.backbone = dict(
        type='mmvidmae.PairMAEViT',
        arch='base',
        patch_size=16,
        frame_embed=True,
        with_cls_token=False,
        out_indices=[3, 5, 7, 11],
        init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'pretrained.pth'), prefix='backbone.'),
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(base.model.backbone)
        model.init_weights()
    assert torch.equal(model.layers[11].ffn.layers[1].weight, encoder.layers[11].ffn.layers[1].weight)
    assert torch.equal(model.frame_embed, encoder.frame_embed)
    optimizer = base.optim_wrapper
    assert optimizer.constructor == 'LayerDecayOptimizerConstructor', "mmseg's own, untouched"


@pytest.mark.parametrize('path', DROPSEG, ids=lambda path: path.stem)
def test_dropseg_builds(path):
    config = Config.fromfile(path)
    model = build(config)
    assert (model.backbone.embed_dims, model.backbone.num_layers) == (768, 12)
    assert tuple(model.backbone.patch_resolution) == (24, 24)
    assert [skip.in_channels for skip in model.decode_head.skips] == [512, 256]
    schedule = HOOKS.build(config.default_hooks.top_share)
    assert attrgetter(schedule.attribute)(model) == 1
    assert [schedule.value_at(step) for step in (0, 20000, 45000, 70000, 210000)] == [1, 1, 0.575, 0.15, 0.15]
    assert (config.train_cfg.max_iters, config.param_scheduler.milestones) == (210000, [125000])
    assert (config.optim_wrapper.optimizer.lr, config.optim_wrapper.optimizer.weight_decay) == (2e-5, 1e-7)
    davis, youtube = config.train_dataloader.dataset.datasets
    assert (davis.repeat, davis.max_gap, youtube.get('repeat', 1), youtube.max_gap) == (5, 24, 1, 4)
    assert model.backbone.layers[11].attn.out_drop.drop_prob == pytest.approx(0.1)
    for part in (davis, youtube):
        assert [TRANSFORMS.build(transform) for transform in part.pipeline]
        assert part.pipeline[0].size == 384
        assert DATASETS.get(part.videos.type)
    for hook in (*config.default_hooks.values(), *config.custom_hooks):
        assert HOOKS.build(hook)
    if '_test-' in path.stem:
        assert METRICS.build(config.test_evaluator)
        assert config.test_dataloader.dataset.pipeline[0].short_side == 480


class TestForeground:
    @pytest.mark.parametrize('foreground', [1, 255])
    def test_davis(self, davis, tmp_path, foreground):
        """Masks of DAVIS-2016's release (255) and of 2017's (ids) give the same classes."""
        import shutil

        import numpy as np
        from PIL import Image

        shutil.copytree(davis, tmp_path / 'd')
        (tmp_path / 'd/ImageSets/2016').mkdir()
        (tmp_path / 'd/ImageSets/2016/train.txt').write_text('b\na\n')
        for path in (tmp_path / 'd/Annotations').rglob('*.png'):
            Image.fromarray(np.array(Image.open(path)) * foreground).save(path)
        with DefaultScope.overwrite_default_scope('mmseg'):
            data = DATASETS.build(
                dict(
                    type='mmvidmae.DAVISForegroundDataset',
                    data_root=str(tmp_path / 'd'),
                    pipeline=[
                        dict(type='LoadImageFromFile'),
                        dict(type='LoadAnnotations'),
                        dict(type='PackSegInputs'),
                    ],
                )
            )
            assert len(data) == 4 + 3
            assert data.metainfo['classes'] == ('background', 'foreground')
            segmentation = data[0]['data_samples'].gt_sem_seg.data
        assert segmentation.unique().tolist() == [0, 1]
        assert segmentation.sum() == 24 * 24
