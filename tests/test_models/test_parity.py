"""Numbers of the authors' implementations, through the same functions as tools/analysis_tools/check_parity.py."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from parity import Report, check_file, cosettle, rvm
from torch import nn

DATA = Path(__file__).parents[1] / 'data' / 'parity'
TOOL = Path(__file__).parents[2] / 'tools' / 'analysis_tools' / 'check_parity.py'


@pytest.mark.parametrize('path', sorted(DATA.glob('*.npz')), ids=lambda path: path.stem)
def test_matches_the_authors(path: Path):
    report = check_file(path)
    assert report.passed, '\n'.join(str(difference) for difference in report.differences if not difference.passed)


def test_all_kinds_are_covered():
    names = {path.stem for path in DATA.glob('*.npz')}
    pretrain = {'asad', 'dropmae_forward', 'len_keep', 'siammae_cropmae', 'siammae_rsp_block', 'sincos'}
    pretrain |= {'cropmae', 'tobo', 'catmae', 'rsp'}
    evaluation = {'jhmdb_pck', 'labelprop_crw', 'labelprop_dino', 'vip_miou'}
    tracking = {
        'droptrack_forward_p8',
        'droptrack_geometry',
        'sot_metrics',
        'vot_supervised',
        'rgbt_metrics',
        'hiptrack',
        'bat',
    }
    assert names >= pretrain | evaluation | tracking | {'dropseg_forward', 'tcore', 'cosettle', 'rvm'}


@pytest.mark.parametrize(
    ('name', 'array', 'change', 'caught'),
    [
        ('dropmae_forward', 'state/temporal_pos_embed_z', 1e-3, {'latent', 'gradnorm/temporal_pos_embed_x'}),
        ('dropmae_forward', 'state/decoder_blocks.1.mlp.fc2.weight', 1e-3, {'pred', 'asad/pred'}),
        (
            'siammae_cropmae',
            'state/decoder_blocks.0.multihead_attn.in_proj_weight',
            1e-2,
            {'decoder_block0_out', 'pred'},
        ),
        ('siammae_rsp_block', 'state/norm_kv1.weight', 1e-3, {'out', 'grad_kv'}),
        ('asad', 'W', 1e-4, {'W'}),
        ('cropmae', 'state/decoder_blocks.1.linear1.weight', 1e-2, {'pred', 'l2g/loss'}),
        ('tobo', 'state/decoder_blocks.1.attn.proj.weight', 1e-2, {'last_bottleneck', 'scm/loss_patch'}),
        ('jhmdb_pck', 'pck/1/pred_grid_xy', 1e-6, {'pck/dist_joint00', 'pck/dist_joint14'}),
        ('vip_miou', 'vip/miou', 1e-6, {'vip/miou'}),
        ('labelprop_dino', 'a/segs', 1e-3, {'a/out'}),
        ('labelprop_crw', 'a/label0', 1e-3, {'a/pred'}),
        (
            'droptrack_forward_p8',
            'state/backbone.pos_embed_z',
            1e-3,
            {'eval/size_map', 'eval_float64/backbone_feat', 'loss_eval/size_map'},
        ),
        ('vot_supervised', 'run0/overlap', 1e-4, {'run0/overlap'}),
        ('hiptrack', 'state/key_proj.key_proj.weight', 1e-2, {'eval/f1/key', 'eval/f2/prompt', 'train/grad_l2'}),
        ('hiptrack', 'track/memory_value_at_end', 1e-2, {'track/memory_value_at_end'}),
        (
            'bat',
            'state/backbone.blocks.0.adap_t.adapter_mid.weight',
            0.1,
            {'eval/backbone_feat', 'loss_adapters/total'},
        ),
        ('rgbt_metrics', 'lasher/seq1/pred_xywh', 0.02, {'lasher/PR', 'lasher/NPR', 'lasher/SR'}),
        (
            'rgbt_metrics',
            'rgbt234/seq0/gt_infrared_xywh',
            0.1,
            {'rgbt234/MPR', 'rgbt234/MSR', 'rgbt234/MSR_of_corners'},
        ),
        ('droptrack_geometry', 'loss/pred_cxcywh', 1e-3, {'loss/giou', 'loss/l1'}),
        ('dropseg_forward', 'state/mask_patch_embed.proj.weight', 1e-2, {'float64/obj1/m16', 'infer/prob'}),
        ('dropseg_forward', 'loss/total', 1e-3, {'loss/total'}),
        ('tcore', 'center/ibot', 1e-2, {'teacher_patch_probs', 'loss_past', 'center_after/ibot'}),
        ('tcore', 'teacher/backbone.register_tokens', 1e-2, {'teacher_cls', 'ema/norm/backbone.register_tokens'}),
        (
            'cosettle',
            'state/adapter.adapter.adapter_linear.weight',
            1e-3,
            {'adapted_1', 'transition_12', 'loss', 'cycle/gradnorm/adapter.adapter.adapter_linear.bias'},
        ),
        ('cosettle', 'ratio_permille', 0.1, {'enlarged', 'shifted_pos_embed', 'transition_21', 'cycle_loss'}),
        ('rvm', 'state/rnn_core/state_reset/kernel', 1e-2, {'core_updates', 'features', 'resumed/features'}),
        ('rvm', 'state/delta_embedder/kernel', 1e-2, {'decoder_block0_out', 'reconstructed', 'scalar'}),
    ],
)
def test_a_small_change_is_caught(tmp_path: Path, name: str, array: str, change: float, caught: set):
    with np.load(DATA / f'{name}.npz') as archive:
        arrays = dict(archive)
    arrays[array] = arrays[array] * np.float32(1 + change)
    np.savez(tmp_path / 'changed.npz', **arrays)
    report = check_file(tmp_path / 'changed.npz')
    failed = {difference.name for difference in report.differences if not difference.passed}
    assert caught <= failed


@pytest.mark.parametrize(
    ('name', 'change', 'least'),
    [
        ('rvm', lambda model: [setattr(block, 'order', ('cross', 'self', 'ffn')) for block in blocks(model)], 130),
        ('rvm', lambda model: [setattr(part, 'approximate', 'none') for part in gelus(model)], 25),
        ('rvm', lambda model: nn.init.zeros_(model.neck.offset_embed.weight), 100),
        ('cosettle', lambda model: setattr(model.backbone.adapter.ln, 'eps', 1e-6), 1),
        ('cosettle', lambda model: setattr(model, 'shifted_pos_embed', unshifted(model)), 15),
    ],
    ids=['order', 'exact GELU', 'no offsets', 'eps', 'no shift'],
)
def test_another_model_fails(monkeypatch, name, change, least):
    checker = {'rvm': rvm, 'cosettle': cosettle}[name]
    build = checker.build

    def build_changed(arrays):
        model = build(arrays)
        change(model)
        return model

    monkeypatch.setattr(checker, 'build', build_changed)
    report = check_file(DATA / f'{name}.npz')
    assert sum(not difference.passed for difference in report.differences) >= least


def blocks(model) -> list:
    return [*model.backbone.core.blocks, *model.neck.decoder_blocks]


def gelus(model) -> list:
    return [part for part in model.modules() if isinstance(part, nn.GELU)]


def unshifted(model):
    return lambda _: model.backbone.encoder.pos_embed[:, 1:]


def test_shapes_nan_and_emptiness_fail():
    report = Report()
    assert not report.passed
    report.compare('shape', np.zeros(2), np.zeros(3), atol=1.0)
    report.compare('nan', np.full(2, np.nan), np.zeros(2), atol=1.0)
    report.compare('zero reference', np.full(2, 1e-9), np.zeros(2), rtol=1.0)
    assert not any(difference.passed for difference in report.differences)


@pytest.mark.slow
def test_tool_exit_codes(tmp_path: Path):
    bad = tmp_path / 'bad.npz'
    np.savez(bad, L=np.array([16]), mask_permille=np.array([500]), n_keep=np.array([[9]]))
    unknown = tmp_path / 'unknown.npz'
    np.savez(unknown, something=np.zeros(1))
    run = subprocess.run(
        [sys.executable, TOOL, DATA / 'len_keep.npz', bad, unknown, tmp_path / 'missing.npz'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert f'ok   {DATA / "len_keep.npz"}' in run.stdout
    assert 'FAIL n_keep' in run.stdout
    assert 'is of no known kind' in run.stdout
    assert 'missing.npz' in run.stdout
    good = subprocess.run([sys.executable, TOOL, DATA / 'len_keep.npz'], capture_output=True, check=False)
    assert good.returncode == 0
