"""T-CoRe: parts that fit, masks, teacher, training, resuming, several processes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from parity import check_file
from tiny_runs import TCORE as MODEL
from tiny_runs import build as build_runner
from tiny_runs import read_trace, tcore_config

from mmvidmae.models.masking import BlockMasking
from mmvidmae.models.selfsup import TCoRe

PARITY = Path(__file__).parents[1] / 'data' / 'parity' / 'tcore.npz'
LOSSES = [dict(loss) for loss in TCoRe.recipe['losses']]


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')
    torch.manual_seed(0)


def build(**parts) -> TCoRe:
    model = TCoRe(**{**MODEL, **parts})
    model.init_weights()
    if model.teacher is not None:
        model.teacher.temperature = 0.05
    return model


def batch(num: int = 3, num_local: int = 2) -> tuple[list[torch.Tensor], list[DataSample]]:
    inputs = [torch.randn(num, 3, 2, 3, 32, 32), torch.randn(num, num_local, 3, 16, 16)]
    return inputs, [DataSample(metainfo=dict(seed=seed)) for seed in range(num)]


# --- parts


def test_all_parameters_of_the_student_train_and_none_of_the_teacher():
    model = build()
    losses = model(*batch(), mode='loss')
    assert set(losses) == {f'loss_{name}' for name in ('global', 'local', 'past', 'future', 'difference', 'koleo')}
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith('teacher.'), name


def test_the_teacher_starts_as_a_copy_and_has_no_stochastic_depth():
    model = build(backbone=dict(MODEL['backbone'], drop_path_rate=0.5)).train()
    student, teacher = model.backbone.state_dict(), model.teacher.backbone.state_dict()
    assert all(torch.equal(student[name], teacher[name]) for name in student)
    hidden = torch.zeros(6, 64, dtype=torch.bool)
    crops = torch.randn(6, 3, 32, 32)
    assert torch.equal(model.teacher(crops, hidden).cls_tokens, model.teacher(crops, hidden).cls_tokens)
    assert not torch.equal(model.backbone(crops, hidden)[-1], model.backbone(crops, hidden)[-1])


def test_weights_without_a_teacher_start_it_too():
    model, other = build(), build()
    state = {name: value + 1 for name, value in other.state_dict().items() if not name.startswith('teacher.')}
    missing = model.load_state_dict(state, strict=False).missing_keys
    assert missing == ['teacher.centers']
    assert torch.equal(model.teacher.backbone.pos_embed, other.backbone.pos_embed + 1)


@pytest.mark.parametrize(
    ('parts', 'message'),
    [
        (dict(teacher=False), "there is no teacher: set teacher=dict\\(type='mmvidmae.EMATeacher'\\) or remove"),
        (dict(branches=[dict(memory=(0,), name='past')]), 'BranchDifferenceLoss needs 2 branches, and there are 1'),
        (dict(branches=[]), 'PatchPrototypeLoss needs 1 branches, and there are 0'),
        (dict(branches=[dict(memory=(1,), name='now')]), "branch 'now' must predict frame 1 from frame 0 or frame 2"),
        (dict(branches=[dict(memory=(3,), name='late')]), 'must predict frame 1 from frame 0 or frame 2'),
        (dict(branches=[dict(memory=(0,)), dict(memory=(2,))]), 'with different names'),
        (dict(losses=[]), 'give it at least one loss'),
        (dict(losses=[dict(type='mmvidmae.KoLeoLoss', weight=0)]), 'remove the loss from the list'),
        (dict(neck=dict(num_heads=5)), 'embed_dims must be a positive multiple of num_heads=5'),
        (dict(neck=dict(num_heads=3, cross_weight=0)), 'the memory would not be read'),
        (dict(masking=dict(ratio=(0.0, 0.5))), 'two shares \\(low, high\\)'),
        (dict(masking=dict(share=0.0)), 'no crop would be masked'),
        (dict(backbone=dict(MODEL['backbone'], encoding='joint')), "encoding must be 'siamese'"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts, message):
    if 'losses' not in parts and len(parts.get('branches', ())) == 1 and 'past' not in str(parts['branches']):
        parts['losses'] = LOSSES[:2]
    with pytest.raises(ValueError, match=message) as error:
        build(**parts)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('kept', ['past', 'future'])
def test_ablation_without_one_frame(kept):
    branches = [branch for branch in TCoRe.recipe['branches'] if branch['name'] == kept]
    model = build(branches=branches, losses=[LOSSES[0], LOSSES[1], LOSSES[3]])
    inputs, samples = batch()
    changed = [inputs[0].clone(), inputs[1]]
    changed[0][:, 2 if kept == 'past' else 0] += 1  # the frame that is not read
    losses, others = (model.eval()(views, samples, mode='loss') for views in (inputs, changed))
    assert set(losses) == {'loss_global', 'loss_local', f'loss_{kept}', 'loss_koleo'}
    assert losses == others


def test_without_local_crops():
    losses = build()(*batch(num_local=0), mode='loss')
    assert 'loss_local' not in losses
    assert sum(losses.values()).isfinite()


def test_without_a_schedule_the_teacher_complains():
    model = build()
    model.teacher.temperature = None
    with pytest.raises(RuntimeError, match='TeacherHook'):
        model(*batch(), mode='loss')


# --- backbone and masks


def test_hidden_patches_do_not_matter_and_registers_do_not_come_out():
    backbone = build().backbone.eval()
    crops = torch.randn(2, 3, 32, 32)
    hidden = torch.zeros(2, 64, dtype=torch.bool)
    hidden[0, :8] = True  # the first row of patches
    changed = crops.clone()
    changed[0, :, :4] += 1
    assert torch.equal(backbone(crops, hidden)[-1], backbone(changed, hidden)[-1])
    assert not torch.equal(backbone(crops)[-1], backbone(changed)[-1])
    assert backbone(crops, hidden)[-1].shape == (2, 1 + 64, 24)
    assert backbone(crops)[-1].shape == (2, 24, 8, 8)
    whole = backbone(crops, torch.zeros_like(hidden))[-1]
    assert torch.equal(whole[:, 1:].mT.unflatten(2, (8, 8)), backbone(crops)[-1])


def test_block_masks_follow_from_the_seeds():
    masking = BlockMasking(share=0.5, ratio=(0.1, 0.5))
    masks = masking([1, 2, 3], 8, (14, 14))
    assert torch.equal(masks, masking([1, 2, 3], 8, (14, 14)))
    assert not torch.equal(masks, masking([1, 2, 4], 8, (14, 14)))
    shares = masks.float().mean(1).sort().values
    assert (shares[:4] == 0).all()
    for i, share in enumerate(shares[4:].tolist()):  # one crop in each slice of 0.1
        assert 0.1 * (i + 1) - 1 / 196 < share < 0.1 * (i + 2)


def test_block_masking_of_a_grid_that_is_too_small():
    with pytest.raises(ValueError, match='no block fits into 2 x 2 patches'):
        BlockMasking(ratio=(0.99, 0.995), min_patches=16).draw_blocks(4, (2, 2), np.random.default_rng(0))


# --- parity


@pytest.mark.parametrize(
    ('change', 'caught'),
    [
        (dict(cross_weight=1.0), {'decoded_past', 'decoded_future', 'loss_past', 'probe/out'}),
        (dict(eps=1e-6), {'probe/out'}),
    ],
)
def test_another_decoder_fails(monkeypatch, change, caught):
    original = TCoRe.__init__

    def changed(self, neck, **parts) -> None:
        original(self, neck={**neck, **change}, **parts)

    monkeypatch.setattr(TCoRe, '__init__', changed)
    failed = {difference.name for difference in check_file(PARITY).differences if not difference.passed}
    assert failed >= caught


def test_other_positions_and_gradients_fail(monkeypatch):
    monkeypatch.setattr(TCoRe, '_memories', TCoRe._memories.__wrapped__)  # with gradient
    monkeypatch.setattr(
        'mmvidmae.models.backbones.register_vit.RegisterViT.positions',
        lambda self, grid: (
            torch.nn.functional.interpolate(
                self.pos_embed[:, 1:].mT.unflatten(2, self.patch_resolution), size=grid, mode='bicubic'
            )
            .flatten(2)
            .mT
        ),
    )
    failed = {difference.name for difference in check_file(PARITY).differences if not difference.passed}
    assert failed >= {'student_cls_local', 'loss_dino_local', 'gradnorm/student.backbone.patch_embed.proj.weight'}
    assert 'student_cls_global' not in failed
    assert 'loss_past' not in failed


# --- training


def test_a_resumed_run_continues_exactly(video_dir, tmp_path):
    config = tcore_config(video_dir, tmp_path / 'run', default_hooks__checkpoint__max_keep_ckpts=-1)
    first = build_runner(config)
    first.train()
    uninterrupted = read_trace(Path(config.work_dir))
    config.update(load_from=str(Path(config.work_dir, 'epoch_1.pth')), resume=True, work_dir=str(tmp_path / 'resumed'))
    second = build_runner(config)
    second.train()
    resumed = read_trace(Path(config.work_dir))
    assert resumed
    assert resumed == {step: uninterrupted[step] for step in resumed}
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    assert first.model.teacher.temperature == pytest.approx(0.07)


class Watch:
    """Notes the teacher's and student's positions, the last layer and the learning rates after each iteration."""

    def __init__(self, model: TCoRe) -> None:
        self.model = model
        self.seen: list[tuple] = []
        self.update, model.update_teacher = model.update_teacher, self

    def __call__(self, momentum: float) -> None:
        if momentum == 0:  # the copy before training
            self.update(momentum)
            return
        teacher = self.model.teacher.backbone.pos_embed.clone()
        self.update(momentum)
        student, head = self.model.backbone.pos_embed.detach().clone(), self.model.head.last_layer
        expected = momentum * teacher + (1 - momentum) * student
        torch.testing.assert_close(self.model.teacher.backbone.pos_embed.data, expected, rtol=0, atol=1e-6)
        self.seen.append((momentum, teacher, student, head.weight_v.detach().clone()))


def test_the_first_update_averages_and_the_last_layer_rests_for_an_epoch(video_dir, tmp_path):
    runner = build_runner(tcore_config(video_dir, tmp_path / 'run'))
    model = runner.model
    runner.call_hook('before_run')
    before = model.head.last_layer.weight_v.detach().clone()
    watch = Watch(model)
    runner.train()
    length = len(runner.train_dataloader)
    momenta = [momentum for momentum, *_ in watch.seen]
    assert momenta[0] == pytest.approx(0.992)
    assert momenta == sorted(momenta)
    assert momenta[-1] < 1
    after_steps = [last for *_, last in watch.seen]
    assert all(torch.equal(last, after_steps[0]) for last in after_steps[:length])
    assert not torch.equal(after_steps[length], after_steps[length - 1])
    assert before.shape == after_steps[0].shape


def test_training_lowers_the_loss_without_collapse():
    """Clips of smooth patterns with noise. The loss of class tokens rises at first, when centers leave zero."""
    model = build(backbone=dict(MODEL['backbone'], layer_scale_init_value=0.1))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)

    def spread(tokens: torch.Tensor) -> float:
        tokens = torch.nn.functional.normalize(tokens, dim=-1)
        return (tokens @ tokens.T)[~torch.eye(len(tokens), dtype=torch.bool)].mean().item()

    history, similarity = [], []
    for step in range(40):
        pattern = torch.nn.functional.interpolate(torch.randn(8, 3, 4, 4), size=(32, 32), mode='bicubic')
        frames = pattern[:, None, None] + 0.1 * torch.randn(8, 3, 2, 3, 32, 32)
        local = frames[:, 1, :, :, 8:24, 8:24]
        samples = [DataSample(metainfo=dict(seed=8 * step + i)) for i in range(8)]
        losses = model([frames, local], samples, mode='loss')
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        model.update_teacher(0.99)
        history.append([losses[f'loss_{name}'].item() for name in ('past', 'future', 'koleo')])
        similarity.append(spread(model._encode_whole(frames[:, 1, 0])[:, 0].detach()))
    first, last = np.mean(history[:5], axis=0), np.mean(history[-5:], axis=0)
    assert (last < 0.8 * first).all(), (first, last)
    assert similarity[0] > 0.95
    assert similarity[-1] < 0.8
