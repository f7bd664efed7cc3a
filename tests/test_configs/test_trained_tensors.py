"""Which tensors each fine-tuning config trains, and at which share of its learning rate."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from torch import nn

import mmvidmae.registry  # noqa: F401
from mmvidmae.models.backbones import PairMAEViT

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
FOLDERS = ('dropmae/benchmarks', 'siammae/benchmarks', 'droptrack', 'dropseg', 'small')
ALL = [path for folder in FOLDERS for path in sorted((CONFIGS / folder).glob('*.py')) if '_test-' not in path.stem]
ALL = [path for path in ALL if not path.stem.endswith('_clips')]  # pre-trainings
STEM = re.compile(r'backbone\.(cls_token|frame_embed|pos_embed|pos_embed_[xz]|patch_embed\..*)')


def layer_decay(rate: float, layers: int) -> Callable[[str], float | None]:
    """The stem is layer 0, the last norms of the encoder and the heads come after its layers."""

    def share(name: str) -> float | None:
        if name == 'backbone.pos_embed':
            return None
        if STEM.fullmatch(name):
            return rate ** (layers + 1)
        if layer := re.match(r'backbone\.layers\.(\d+)\.', name):
            return rate ** (layers - int(layer[1]))
        return 1.0

    return share


def probe(name: str) -> float | None:
    return None if name.startswith('backbone.') else 1.0


def stark(name: str) -> float | None:
    if name == 'backbone.pos_embed':
        return None
    return 0.1 if name.startswith('backbone.') else 1.0


def droptrack(name: str) -> float | None:
    """OSTrack learns its position embeddings."""
    return 0.1 if name.startswith('backbone.') else 1.0


def dinov2_tracker(name: str) -> float | None:
    """The stem and nine of the twelve layers are frozen."""
    layer = re.match(r'backbone\.layers\.(\d+)\.', name)
    return None if STEM.fullmatch(name) or (layer and int(layer[1]) < 9) else droptrack(name)


def dropseg(name: str) -> float | None:
    return None if name == 'backbone.pos_embed' else 1.0


def expected(path: Path) -> Callable[[str], float | None]:
    if path.stem.startswith('fcn_dropmae-vit-tiny6'):
        return layer_decay(0.75, 6)
    if path.stem.startswith('droptrack_vit-small-p14-dinov2'):
        return dinov2_tracker
    rules = dict(
        linear=probe, hiptrack=probe, droptrack=droptrack, ostrack=droptrack, dropseg=dropseg, **{'stark-st1': stark}
    )
    return rules.get(path.stem.split('_')[0], layer_decay(0.65, 12))


def trained(path: Path) -> tuple[nn.Module, dict[str, float]]:
    """The model of a config, and of every tensor that its optimizer has the share of the learning rate."""
    config = Config.fromfile(path)
    config.optim_wrapper.type = 'OptimWrapper'
    with DefaultScope.overwrite_default_scope(config.default_scope):
        with torch.device('meta'):
            model = MODELS.build(config.model)
        optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    names = {parameter: name for name, parameter in model.named_parameters()}
    shares = {
        names[parameter]: group['lr'] / config.optim_wrapper.optimizer.lr
        for group in optimizer.param_groups
        for parameter in group['params']
        if parameter.requires_grad
    }
    return model, shares


@pytest.mark.parametrize('path', ALL, ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_each_tensor_trains_at_its_rate(path):
    scope = Config.fromfile(path).default_scope
    if scope == 'mmtrack':
        pytest.importorskip('mmdet')
        import mmvidmae.compat.mmtrack.enabled  # noqa: F401
    elif scope == 'mmseg':
        pytest.importorskip('mmseg')
    model, shares = trained(path)
    backbone, share = model.backbone, expected(path)
    assert isinstance(backbone, PairMAEViT)
    if size := re.search(r'_(?:dropmae|siammae)-vit-(base|small)-p16_', path.stem):
        assert backbone.embed_dims == dict(base=768, small=384)[size[1]]
        assert (backbone.cls_token is None) == ('dropmae' in path.stem)
        assert backbone.init_cfg['prefix'] == 'backbone.'
    for name, _ in model.named_parameters():
        assert shares.get(name) == (None if share(name) is None else pytest.approx(share(name))), name
    stem = {name for name, _ in model.named_parameters() if STEM.fullmatch(name)}
    with_identities = not re.search('ostrack|_siammae|dinov2', path.stem)
    assert ('backbone.frame_embed' in stem) == with_identities
    known = {'backbone.mask_embed.weight', 'backbone.mask_embed.bias'}  # DropSeg's own, which no pre-training has
    others = {name for name, _ in backbone.named_parameters(prefix='backbone')} - stem - known
    assert all(re.match(r'backbone\.(layers\.|ln[12]\.)', name) for name in others), 'a new tensor of the stem'


@pytest.mark.parametrize('path', sorted((CONFIGS / 'small').glob('*.py')), ids=lambda path: path.stem)
def test_init_cfg_of_small_configs_can_be_set(path, tmp_path):
    """In a config that inherits and on the command line, without ``_delete_``."""
    init_cfg = dict(type='Pretrained', checkpoint='x.pth', prefix='backbone.')
    (tmp_path / 'mine.py').write_text(f"_base_ = '{path}'\nmodel = dict(backbone=dict(init_cfg={init_cfg}))\n")
    assert Config.fromfile(tmp_path / 'mine.py').model.backbone.init_cfg == init_cfg
    config = Config.fromfile(path)
    config.merge_from_dict({f'model.backbone.init_cfg.{key}': value for key, value in init_cfg.items()})
    assert config.model.backbone.init_cfg == init_cfg


ENCODER = dict(
    arch=dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48), patch_size=8, drop_path_rate=0.5
)


@pytest.mark.parametrize('kind', ['PairMAEViT', 'OneStreamViT', 'MemoryMAEViT'])
def test_frozen_stages_freeze_all_of_the_stem_and_its_mode(kind):
    """For encoders whose constructors add parameters after mmpretrain's has frozen its own."""
    sizes = dict(template_size=16, search_size=32, ce_loc=(), ce_keep_ratio=()) if kind == 'OneStreamViT' else {}
    sizes = sizes or dict(img_size=32)

    def build(frozen: int) -> PairMAEViT:
        return MODELS.build(
            dict(type=f'mmvidmae.{kind}', frame_embed=True, frozen_stages=frozen, drop_rate=0.5, **sizes, **ENCODER)
        ).train()

    encoder = build(2)
    learning = {name.split('.')[0] for name, p in encoder.named_parameters() if p.requires_grad}
    assert learning == {'layers', 'ln1'} | ({'mask_embed'} if kind == 'MemoryMAEViT' else set())
    assert [any(p.requires_grad for p in layer.parameters()) for layer in encoder.layers] == [False, False, True]
    assert [layer.training for layer in encoder.layers] == [False, False, True], 'no stochastic depth where frozen'
    assert not encoder.drop_after_pos.training
    learning = {name.split('.')[0] for name, p in build(3).named_parameters() if p.requires_grad}
    assert learning == ({'mask_embed'} if kind == 'MemoryMAEViT' else set())
    for free in (0, -1):
        learning = {name for name, p in build(free).named_parameters() if p.requires_grad}
        assert {'frame_embed', 'patch_embed.projection.weight', 'layers.0.ln1.weight'} <= learning


def test_mmsegs_own_constructor_knows_frame_identities():
    """Whether mmseg is imported before or after us, and in its deprecated form, too."""
    pytest.importorskip('mmseg')
    import mmseg.engine.optimizers.layer_decay_optimizer_constructor as constructors

    MODELS.build(dict(type='mmvidmae.PairMAEViT', img_size=32, **ENCODER))
    assert constructors.get_layer_id_for_vit('backbone.frame_embed', 5) == 0
    assert constructors.get_layer_id_for_vit('backbone.layers.1.ln1.weight', 5) == 2
    assert constructors.get_layer_id_for_vit('decode_head.frame_embed', 5) == 4
    before = constructors.get_layer_id_for_vit
    MODELS.build(dict(type='mmvidmae.PairMAEViT', img_size=32, **ENCODER))
    assert constructors.get_layer_id_for_vit is before
