"""Whole conversions: what is recognized, mapped, refused and adapted, as functions and as a command."""

import importlib.util
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from docs_pages import read_blocks
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from torch import nn

from mmvidmae.converters import (
    SOURCES,
    ConversionError,
    convert_state_dict,
    interpolate_pos_embed,
    mmvidmae_to_droptrack,
    read_state_dict,
    recognize,
    strip_wrappers,
    write_state_dict,
)
from mmvidmae.models.backbones import PairMAEViT
from mmvidmae.models.selfsup import RVM, PairMAE
from mmvidmae.models.trackers import CenterHead, OneStreamViT

DOCS = Path(__file__).parents[2] / 'docs' / 'weights.md'
TOOL = Path(__file__).parents[2] / 'tools' / 'model_converters' / 'convert.py'
OF_DROPMAE = ('dropmae', 'hiptrack', 'bat', 'droptrack', 'dropseg', 'mmvidmae')
OF_MODELS = {'cropmae': 'cropmae', 'tobo': 'siammae', 'catmae': 'catmae', 'rsp': 'rsp', 'rvm': 'rvm'}
OF_TCORE = ('tcore', 'mmvidmae-teacher')  # test_tcore.py


def equal(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def encoder_of(state: dict) -> dict:
    return {name: value for name, value in state.items() if name.startswith('backbone.')}


@pytest.mark.parametrize('name', [name for name in SOURCES if name not in OF_TCORE])
def test_encoder_of_every_format(our_state, foreign_state, name):
    state = foreign_state(name)
    assert recognize(state) == name
    conversion = convert_state_dict(state, encoder_only=True)
    assert conversion.source == name
    expected = our_state('dropmae' if name in OF_DROPMAE else OF_MODELS.get(name, 'mae'))
    assert equal(conversion.state_dict, encoder_of(expected))
    assert conversion.num_mapped + sum(map(len, conversion.dropped.values())) == len(state)
    assert f'mapped: {conversion.num_mapped} parameters' in conversion.summary()


@pytest.mark.parametrize('name', ['dropmae', 'cropmae', 'mae', 'tobo', 'catmae', 'rsp', 'cosettle'])
def test_whole_models_go_and_come_back_exactly(our_state, name):
    state = our_state(OF_MODELS.get(name, name))
    there = convert_state_dict(state, target=name)
    back = convert_state_dict(there.state_dict)
    assert back.source == name
    assert equal(back.state_dict, state)
    assert not there.dropped
    assert not back.dropped


@pytest.mark.parametrize('name', ['mae', 'timm', 'mmpretrain'])
def test_encoders_go_and_come_back_exactly(our_state, name):
    state = encoder_of(our_state('mae'))
    assert equal(convert_state_dict(convert_state_dict(state, target=name).state_dict).state_dict, state)


@pytest.mark.parametrize('encoder_only', [False, True])
def test_rvm_goes_and_comes_back_exactly(tmp_path, encoder_only):
    arch = dict(embed_dims=384, num_layers=1, num_heads=6, feedforward_channels=32)
    core = dict(depth=1, feedforward_channels=16)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = RVM(backbone=dict(arch=arch, core=core, patch_size=4), neck=dict(depth=1, feedforward_channels=16))
    state = {name: torch.rand_like(value) for name, value in model.state_dict().items()}
    there = convert_state_dict(state, target='rvm', encoder_only=encoder_only)
    assert there.state_dict['encoder/layers_0/attention/query/kernel'].shape == (384, 6, 64)
    assert there.state_dict['tokenizer/patch_embedding/Conv_0/kernel'].shape == (1, 4, 4, 3, 384)
    if not encoder_only:
        assert there.state_dict['decoder/xa_blocks_0/ca_attention/out/kernel'].shape == (16, 32, 512)
    write_state_dict(there.state_dict, tmp_path / 'rvm.npz', {})
    back = convert_state_dict(read_state_dict(tmp_path / 'rvm.npz'))
    assert back.source == 'rvm'
    assert str(back.architecture).endswith('recurrent core')
    expected = encoder_of(state) if encoder_only else state
    assert equal(back.state_dict, expected)
    part = model.backbone if encoder_only else model
    part.load_state_dict(
        {key.removeprefix('backbone.') if encoder_only else key: back.state_dict[key] for key in expected}
    )


def test_an_adapter_and_a_core_stay_with_their_encoder(our_state):
    for kind, found in (('cosettle', 'adapter'), ('rvm', 'recurrent core')):
        assert convert_state_dict(our_state(kind)).architecture.addition == found
        with pytest.raises(ConversionError, match=f'timm does not have the {found}'):
            convert_state_dict(encoder_of(our_state(kind)), target='timm')
    with pytest.raises(ConversionError, match='cosettle needs the adapter of its encoder'):
        convert_state_dict(encoder_of(our_state('mae')), target='cosettle')
    with pytest.raises(ConversionError, match='attention heads of a width of 32 is not known'):
        convert_state_dict(our_state('rvm'), target='rvm')
    with pytest.raises(ConversionError, match='the model computes them'):
        convert_state_dict(our_state('rvm'), resize_to=(64, 64))
    resized = convert_state_dict(our_state('cosettle'), resize_to=(64, 64)).state_dict
    assert resized['backbone.encoder.pos_embed'].shape == (1, 65, 32)


def test_the_paper_decoder_of_siammae_stays_ours(our_state):
    state = our_state('siammae')
    assert equal(convert_state_dict(state).state_dict, state)
    with pytest.raises(ConversionError, match='cropmae does not have the cross-self decoder'):
        convert_state_dict(state, target='cropmae')


def test_mae_of_mmpretrain_loads_in_ours_and_the_other_way_round(our_state):
    arch = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
    backbone = dict(type='MAEViT', arch=arch, img_size=32, patch_size=8)
    neck = dict(
        type='MAEPretrainDecoder',
        num_patches=16,
        patch_size=8,
        embed_dim=32,
        decoder_embed_dim=16,
        decoder_depth=2,
        decoder_num_heads=2,
    )
    head = dict(type='MAEPretrainHead', patch_size=8, loss=dict(type='PixelReconstructionLoss', criterion='L2'))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        theirs = MODELS.build(dict(type='MAE', backbone=backbone, neck=neck, head=head))
        ours = PairMAE(
            backbone=dict(arch=arch, img_size=32, patch_size=8),
            neck=dict(decoder_dims=16, depth=2, num_heads=2, frame_embed=False),
        )
    conversion = convert_state_dict(theirs.state_dict())
    assert str(conversion.architecture).endswith('class token, no frame identities, mae decoder')
    ours.load_state_dict(conversion.state_dict)
    theirs.load_state_dict(convert_state_dict(our_state('mae'), target='mmpretrain').state_dict)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('dino', 'projection head'),
        ('timm', r'classification head .* \(head\.weight, head\.bias\)'),
        ('dinov2', r'projection heads .* \(dino_head\.mlp\.0\.weight, ibot_head'),
        ('transformers', r'the pooler and the head .* \(vit\.pooler\.dense\.weight, classifier\.bias\)'),
    ],
)
def test_what_has_no_counterpart_is_left_behind_only_on_demand(foreign_state, name, message):
    with pytest.raises(ConversionError, match=message):
        convert_state_dict(foreign_state(name))


def test_whole_tracker_loads_strictly_and_goes_back(foreign_state):
    state = foreign_state('droptrack')
    conversion = convert_state_dict(state)
    assert str(conversion.architecture).endswith(
        'patch 8, 16 patches, no class token, frame identities, tracking decoder'
    )
    arch = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
    model = nn.ModuleDict(
        dict(backbone=OneStreamViT(arch, 16, 32, 8, ce_loc=(), ce_keep_ratio=()), head=CenterHead(32, 16))
    )
    model.load_state_dict(conversion.state_dict)
    unused = {'backbone.cls_token', 'backbone.pos_embed'}
    assert equal(mmvidmae_to_droptrack(model.state_dict()), {key: state[key] for key in state.keys() - unused})
    with pytest.raises(ConversionError, match='timm has no frame identity embeddings'):
        convert_state_dict(state, target='timm')
    with pytest.raises(ConversionError, match='interpolated when it is loaded'):
        convert_state_dict(state, resize_to=(64, 64))
    del state['box_head.conv2_size.1.running_var']
    with pytest.raises(ConversionError, match=r'missing: 1\n  head\.size\.1\.bn\.running_var'):
        convert_state_dict(state)


def test_missing_unexpected_and_misshaped_parameters_are_listed(our_state):
    state = our_state('dropmae')
    del state['backbone.layers.1.attn.proj.bias'], state['neck.mask_token']
    state['backbone.layers.0.gamma'] = torch.ones(32)
    state['neck.decoder_blocks.1.ffn.layers.1.bias'] = torch.ones(17)
    with pytest.raises(ConversionError) as error:
        convert_state_dict(state)
    message = str(error.value)
    assert 'missing: 2\n  backbone.layers.1.attn.proj.bias\n  neck.mask_token\n' in message
    assert 'unexpected: 1\n  backbone.layers.0.gamma\n' in message
    assert 'of a wrong shape: 1\n  neck.decoder_blocks.1.ffn.layers.1.bias (17,) instead of (16,)' in message


@pytest.mark.parametrize('encoder_only', [False, True])
def test_encoder_only_still_wants_the_whole_encoder(foreign_state, encoder_only):
    layer_scale = {**foreign_state('mae'), 'blocks.0.ls1.gamma': torch.ones(32)}
    with pytest.raises(ConversionError, match=r'1 parameter names are unknown: blocks\.0\.ls1\.gamma'):
        convert_state_dict(layer_scale, encoder_only=encoder_only)
    truncated = {name: value for name, value in foreign_state('mae').items() if not name.startswith('blocks.1.')}
    with pytest.raises(ConversionError, match=r'missing: 12\n  backbone\.layers\.1\.attn'):
        convert_state_dict(truncated, encoder_only=encoder_only)


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('patch_embed.proj.weight', torch.ones(32)),
        ('patch_embed.proj.weight', torch.ones(32, 1, 8, 8)),
        ('pos_embed', torch.ones(5)),
        ('pos_embed', torch.ones(1, 1, 32)),
        ('temporal_pos_embed_z', torch.ones(3)),
        ('temporal_pos_embed_z', None),
        ('blocks.0.mlp.fc1.weight', None),
        ('blocks.999999.mlp.fc1.weight', torch.ones(64, 32)),
        ('decoder_embed.weight', torch.ones(16, 0)),
    ],
)
def test_senseless_parameters_are_refused(foreign_state, name, value):
    state = {**foreign_state('dropmae'), name: value}
    if value is None:
        del state[name]
    with pytest.raises(ConversionError):
        convert_state_dict(state)


def test_a_parameter_that_is_there_twice_is_refused(foreign_state):
    state = foreign_state('dino')
    state['norm.weight'] = torch.zeros(32)  # beside backbone.norm.weight
    with pytest.raises(ConversionError, match='occur twice'):
        convert_state_dict(state, encoder_only=True)


def test_unknown_formats(foreign_state):
    with pytest.raises(
        ConversionError, match=r'not one of hiptrack, bat, droptrack, .*; the parameters are conv1\.weight'
    ):
        convert_state_dict({'conv1.weight': torch.ones(1)})
    with pytest.raises(ConversionError, match='names are unknown'):
        convert_state_dict(foreign_state('cropmae'), source='dropmae')


@pytest.mark.parametrize(
    ('kind', 'target', 'message'),
    [
        ('dropmae', 'mmpretrain', 'mmpretrain has no frame identity embeddings: fold'),
        ('mae', 'dropmae', 'dropmae needs frame identity embeddings'),
        ('mae', 'timm', 'timm does not have the mae decoder: convert the encoder alone'),
        ('cropmae', 'mae', 'mae does not have the cropmae decoder'),
        ('catmae', 'cropmae', 'cropmae does not have the catmae decoder'),
        ('siammae', 'rsp', 'rsp does not have the cross-self decoder'),
    ],
)
def test_targets_without_a_place_for_something(our_state, kind, target, message):
    with pytest.raises(ConversionError, match=message):
        convert_state_dict(our_state(kind), target=target)


def test_targets_with_a_class_token(our_state):
    with pytest.raises(ConversionError, match='mae needs a class token'):
        convert_state_dict(our_state('dropmae'), target='mae', encoder_only=True, fold_identity=0)


@pytest.mark.parametrize('frame', [0, 1])
def test_fold_identity(our_state, frame):
    state = our_state('dropmae')
    folded = convert_state_dict(state, encoder_only=True, fold_identity=frame).state_dict
    assert 'backbone.frame_embed' not in folded
    expected = state['backbone.pos_embed'] + state['backbone.frame_embed'][:, frame]
    assert torch.equal(folded['backbone.pos_embed'], expected)


def test_fold_identity_that_does_not_apply(our_state):
    with pytest.raises(ConversionError, match='no frame identity embeddings to fold'):
        convert_state_dict(our_state('mae'), encoder_only=True, fold_identity=0)
    with pytest.raises(ConversionError, match='convert the encoder alone'):
        convert_state_dict(our_state('dropmae'), fold_identity=0)


def cubic_matrix(old: int, new: int, scale: float) -> np.ndarray:
    """Weights (new, old) of cubic convolution (a = -0.75) at the centers of ``new`` cells that are 1 / scale wide."""
    weights = np.zeros((new, old))
    for i in range(new):
        at = (i + 0.5) / scale - 0.5
        for j in range(int(np.floor(at)) - 1, int(np.floor(at)) + 3):
            d, a = abs(at - j), -0.75
            near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * (d**3 - 5 * d**2 + 8 * d - 4)
            weights[i, min(max(j, 0), old - 1)] += near if d <= 1 else far
    return weights


@pytest.mark.parametrize(('mode', 'shift'), [('size', 0.0), ('dino', 0.1)])
def test_interpolation_samples_where_it_should(mode, shift):
    pos_embed = torch.randn(1, 1 + 14 * 14, 3, generator=torch.Generator().manual_seed(0))
    resized = interpolate_pos_embed(pos_embed, (14, 14), (20, 9), 1, mode)
    rows, cols = (cubic_matrix(14, n, (n + shift) / 14) for n in (20, 9))
    expected = np.einsum('ij,jkc,lk->ilc', rows, pos_embed[0, 1:].view(14, 14, 3).numpy(), cols)
    half = interpolate_pos_embed(pos_embed.bfloat16(), (14, 14), (20, 9), 1, mode)
    assert half.dtype == torch.bfloat16
    np.testing.assert_allclose(resized[0, 1:].view(20, 9, 3).numpy(), expected, atol=1e-5)
    assert torch.equal(resized[:, :1], pos_embed[:, :1])


@pytest.mark.parametrize('mode', ['size', 'dino'])
def test_interpolation_to_the_same_grid_changes_nothing(our_state, mode):
    state = our_state('dropmae')
    assert equal(convert_state_dict(state, resize_to=(32, 32), pos_interp=mode).state_dict, state)
    with pytest.raises(ValueError, match='one of size, dino'):
        interpolate_pos_embed(torch.ones(1, 4, 2), (2, 2), (3, 3), 0, 'linear')


def test_resize_covers_encoder_and_decoder(our_state):
    state = our_state('mae')
    resized = convert_state_dict(state, resize_to=(48, 64)).state_dict
    assert resized['backbone.pos_embed'].shape == (1, 1 + 6 * 8, 32)
    assert resized['neck.decoder_pos_embed'].shape == (1, 1 + 6 * 8, 16)
    changed = {name for name in state if state[name] is not resized[name]}
    assert changed == {'backbone.pos_embed', 'neck.decoder_pos_embed'}

    with pytest.raises(ConversionError, match=r'48 patches, which are not a square: give its rows and columns'):
        convert_state_dict(resized, resize_to=(32, 32))
    with pytest.raises(ConversionError, match='48 patches, which are not 5 x 8'):
        convert_state_dict(resized, resize_to=(32, 32), grid=(5, 8))
    again = convert_state_dict(resized, resize_to=(32, 32), grid=(6, 8)).state_dict
    assert again['backbone.pos_embed'].shape == (1, 17, 32)
    with pytest.raises(ConversionError, match='30 x 32 pixels do not divide into patches of 8'):
        convert_state_dict(state, resize_to=(30, 32))


@pytest.fixture
def convert(monkeypatch, capsys):
    """The command in this process: returns exit code, output and errors."""
    spec = importlib.util.spec_from_file_location('convert_tool', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def run(*args) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, 'argv', ['convert.py', *map(str, args)])
        code = tool.main()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_command_converts_and_counts(tmp_path, convert, our_state, foreign_state):
    source = tmp_path / 'DropTrack.pth.tar'
    torch.save(dict(net=foreign_state('droptrack'), epoch=300), source)
    code, out, _ = convert(source, tmp_path / 'encoder.safetensors', '--encoder-only')
    assert code == 0
    assert 'source: droptrack, ViT 32 wide, 3 layers, patch 8, 16 patches, no class token, frame identities' in out
    assert 'mapped: 43 parameters to 42 of mmvidmae' in out
    assert 'dropped: 2 (backbone.pos_embed, backbone.cls_token): DropTrack keeps, but never uses them' in out
    assert 'dropped: 91 (backbone.pos_embed_z, box_head.conv1_ctr.0.weight, ' in out
    assert equal(read_state_dict(tmp_path / 'encoder.safetensors'), encoder_of(our_state('dropmae')))

    args = ('--to', 'timm', '--fold-identity', '--resize-to', '48x64', '--pos-interp', 'dino')
    code, out, _ = convert(tmp_path / 'encoder.safetensors', tmp_path / 'vit.pth', *args)
    assert code == 0
    content = torch.load(tmp_path / 'vit.pth', weights_only=True)
    assert content['state_dict']['pos_embed'].shape == (1, 48, 32)
    assert content['meta'] == dict(converted_from='mmvidmae', format='timm', source_file='encoder.safetensors')


def test_command_puts_parameters_where_their_code_looks(tmp_path, convert, our_state):
    torch.save(dict(state_dict=our_state('dropmae')), tmp_path / 'epoch_1.pth')
    assert convert(tmp_path / 'epoch_1.pth', tmp_path / 'theirs.pth', '--to', 'dropmae')[0] == 0
    assert 'temporal_pos_embed_x' in torch.load(tmp_path / 'theirs.pth', weights_only=True)['model']


def test_command_refuses_and_writes_nothing(tmp_path, convert, foreign_state):
    torch.save(dict(model=foreign_state('dino')), tmp_path / 'dino.pth')
    code, out, err = convert(tmp_path / 'dino.pth', tmp_path / 'out.pth')
    assert (code, out) == (1, '')
    assert 'dino.pth: dino: ' in err
    assert '(--encoder-only)' in err
    assert convert(tmp_path / 'none.pth', tmp_path / 'out.pth')[0] == 1
    (tmp_path / 'folder').mkdir()
    torch.save(foreign_state('mae'), tmp_path / 'mae.pth')
    code, _, err = convert(tmp_path / 'mae.pth', tmp_path / 'folder')
    assert code == 1
    assert 'folder' in err
    with pytest.raises(SystemExit):
        convert(tmp_path / 'mae.pth', tmp_path / 'out.pth', '--resize-to', '224')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['dino.pth', 'folder', 'mae.pth']


def test_commands_of_the_documentation(tmp_path, monkeypatch, convert, our_state, foreign_state):
    monkeypatch.chdir(tmp_path)
    Path('work_dirs/my_dropmae').mkdir(parents=True)
    torch.save(dict(model=foreign_state('dropmae')), 'DropMAE_k400_1600E.pth')
    torch.save(dict(net=foreign_state('droptrack')), 'DropTrack_k700_800E_alldata.pth.tar')
    torch.save(dict(model=foreign_state('rsp')), 'rsp_vits16.pth')
    torch.save(dict(state_dict=our_state('dropmae')), 'work_dirs/my_dropmae/epoch_400.pth')
    blocks = [block for block in read_blocks(DOCS) if (block.language, block.manner) == ('bash', 'run')]
    commands = [shlex.split(command) for block in blocks for _, command in block.commands()]
    assert len(commands) == 10
    for _, tool, *args in commands:
        assert TOOL.samefile(TOOL.parents[2] / tool)
        code, _, err = convert(*args)
        assert code == 0, err


def test_command_runs_from_anywhere(tmp_path, foreign_state):
    torch.save(foreign_state('timm'), tmp_path / 'vit.pth')
    command = [sys.executable, TOOL, 'vit.pth', 'out.pth']
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert 'classification head' in refused.stderr


class TestSizesAreRead:
    """Every size comes from the shapes: none is what the published models have."""

    def model(self, kind: str, **neck):
        backbone = dict(
            arch=dict(embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=40),
            img_size=(12, 20),
            patch_size=4,
        )
        neck = dict(decoder_dims=20, depth=3, num_heads=5) | neck
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            return MODELS.build(dict(type=f'mmvidmae.{kind}', backbone=backbone, neck=neck))

    @pytest.mark.parametrize(
        ('kind', 'neck', 'targets'),
        [
            ('DropMAE', dict(mlp_ratio=2.35), ('mmvidmae', 'dropmae')),
            ('PairMAE', dict(mlp_ratio=0.8, frame_embed=False), ('mmvidmae', 'mae', 'mmpretrain')),
            ('SiamMAE', dict(feedforward_channels=33), ('mmvidmae',)),
            ('SiamMAE', dict(norm_first=False, feedforward_channels=33), ('mmvidmae', 'cropmae')),
            ('SiamMAE', dict(order=('self', 'ffn'), feedforward_channels=33), ('mmvidmae',)),
            ('SiamMAE', dict(order=('cross', 'ffn'), norm_first=False, feedforward_channels=33), ('mmvidmae',)),
            ('SiamMAE', dict(memory_frame_embed=True, frame_projections=True), ('mmvidmae',)),
            ('CatMAE', dict(feedforward_channels=33), ('mmvidmae', 'catmae')),
            ('CatMAE', dict(norm_first=True, memory_frame_embed=False), ('mmvidmae',)),
            ('RSP', dict(feedforward_channels=33), ('mmvidmae', 'rsp')),
            ('RSP', dict(frame_projections=False), ('mmvidmae',)),
        ],
    )
    def test_of_decoders(self, kind, neck, targets):
        state = self.model(kind, **neck).state_dict()
        for target in targets:
            there = convert_state_dict(state, target=target)
            back = convert_state_dict(there.state_dict)
            assert back.state_dict.keys() == state.keys()
            assert all(torch.equal(value, state[name]) for name, value in back.state_dict.items())
            read = back.architecture
            assert (read.embed_dims, read.num_layers, read.feedforward_channels) == (24, 2, 40)
            assert (read.patch_size, read.num_patches, read.in_channels) == (4, 15, 3)

    def test_of_encoders_for_other_channels_and_without_biases(self):
        arch = dict(embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=40)
        encoder = PairMAEViT(arch, 32, 8, in_channels=1, qkv_bias=False)
        state = {f'backbone.{name}': value for name, value in encoder.state_dict().items()}
        conversion = convert_state_dict(state, target='timm')
        assert conversion.architecture.in_channels == 1
        back = convert_state_dict(conversion.state_dict).state_dict
        assert back.keys() == state.keys()

    def test_of_patches_that_are_no_squares(self, our_state):
        state = dict(our_state('mae'))
        state['backbone.patch_embed.projection.weight'] = torch.zeros(32, 3, 8, 4)
        with pytest.raises(ConversionError, match=r'patches of 8 x 4 pixels: .* square patches'):
            convert_state_dict(state)


WRAPPED = {
    'compiled': '_orig_mod.{}',
    'compiled, then parallel': 'module._orig_mod.{}',
    'parallel, then compiled': '_orig_mod.module.{}',
    'in a module': 'model.{}',
    'in modules': 'model.module.encoder._orig_mod.{}',
    'twice': 'module.module.{}',
}


@pytest.mark.parametrize('kind', ['dropmae', 'cropmae', 'mae', 'timm', 'mmvidmae', 'mmpretrain'])
@pytest.mark.parametrize('name', WRAPPED.values(), ids=WRAPPED)
def test_what_wrappers_leave_comes_off(foreign_state, tmp_path, kind, name):
    state = foreign_state(kind)
    wrapped = {name.format(key): value for key, value in state.items()}
    torch.save(dict(state_dict=wrapped), tmp_path / 'wrapped.pth')
    assert read_state_dict(tmp_path / 'wrapped.pth').keys() == state.keys()
    encoder_only = kind == 'timm'
    expected = convert_state_dict(state, encoder_only=encoder_only)
    assert convert_state_dict(wrapped, encoder_only=encoder_only).state_dict.keys() == expected.state_dict.keys()


def test_wrappers_inside_of_a_model_come_off():
    one, two = torch.zeros(1), torch.zeros(1)
    state = {'backbone._orig_mod.layers.0._checkpoint_wrapped_module.ln1.weight': one, 'backbone.pos_embed': two}
    assert strip_wrappers(state) == {'backbone.layers.0.ln1.weight': one, 'backbone.pos_embed': two}


def test_names_that_tell_parts_apart_stay():
    for state in (
        {'encoder.blocks.0.norm1.weight': torch.zeros(1), 'decoder.weight': torch.zeros(1)},
        {'model.blocks.0.norm1.weight': torch.zeros(1), 'model_ema.blocks.0.norm1.weight': torch.zeros(1)},
        {'model': torch.zeros(1)},
    ):
        assert strip_wrappers(state) == state
    with pytest.raises(ConversionError, match='occur twice'):
        convert_state_dict({'_orig_mod.norm.weight': torch.zeros(1), 'norm.weight': torch.zeros(1)})
