"""The online template: a second template, which a policy replaces."""

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor

from mmvidmae.models.trackers import BAT, DropTrack, HIPTrack, IntervalScorePolicy, OneStreamViT
from mmvidmae.registry import MODELS

ARCH = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
ENCODER = dict(arch=ARCH, patch_size=16, ce_loc=(1,), ce_keep_ratio=(0.7,))


@MODELS.register_module()
class EverySecondFrame:
    """A policy of a user's own."""

    def __call__(self, number: int, score: float) -> bool:
        return number % 2 == 0


def tracker(kind: type[DropTrack], **test_cfg) -> DropTrack:
    torch.manual_seed(0)
    encoder = 'mmvidmae.TwoStreamViT' if kind is BAT else 'mmvidmae.OneStreamViT'
    prompt = dict(prompt=dict(type='mmvidmae.HistoricalPrompt', key_dims=8, base_channels=8))
    return kind(
        backbone=dict(type=encoder, **ENCODER),
        head=dict(type='mmvidmae.CenterHead', channels=16),
        template_size=32,
        search_size=64,
        search_factor=4.0,
        test_cfg=test_cfg,
        **(prompt if kind is HIPTrack else {}),
    ).eval()


def frames(count: int, channels: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (90, 120, channels), dtype=np.uint8) for _ in range(count)]


def test_the_policy_asks_for_interval_and_score():
    policy = IntervalScorePolicy(interval=3, min_score=0.5)
    assert [policy(number, 0.6) for number in range(1, 7)] == [False, False, True, False, False, True]
    assert not policy(3, 0.5)
    with pytest.raises(ValueError, match='interval must be a whole number of at least 1, got 0'):
        IntervalScorePolicy(interval=0)
    with pytest.raises(ValueError, match=r'min_score must be in \[0, 1\], got 2'):
        IntervalScorePolicy(min_score=2)


@pytest.mark.parametrize(('kind', 'channels'), [(DropTrack, 3), (HIPTrack, 3), (BAT, 6)])
def test_only_the_second_template_is_replaced_and_only_when_the_policy_says_so(kind, channels):
    model, video = tracker(kind, online_template=dict(type='mmvidmae.EverySecondFrame')), frames(13, channels)
    states = [model.initialize(video[0], (40, 30, 20, 24))]
    first = tracker(kind).initialize(video[0], (40, 30, 20, 24)).template
    for frame in video[1:]:
        before = states[-1].template.clone()
        states.append(model.track(frame, states[-1])[0])
        assert torch.equal(states[-2].template, before)  # the given state is not changed
    for number, state in enumerate(states):
        assert state.number == number
        assert torch.equal(state.template[:, 0], first)
        renewed = number - number % 2
        box, frame = states[renewed].box, video[renewed]
        expected, _ = model._crop(frame, box, **model.template_crop)
        assert torch.equal(state.template[:, 1], expected)


def test_with_two_templates_the_box_depends_on_the_second():
    model = tracker(DropTrack, online_template=dict(type='mmvidmae.EverySecondFrame'))
    video = frames(2, 3)
    target = model.initialize(video[0], (40, 30, 20, 24))
    other = target._replace(template=torch.stack((target.template[:, 0], target.template[:, 1].flip(-1)), dim=1))
    assert model.track(video[1], target)[0].box != model.track(video[1], other)[0].box


def encode(model: OneStreamViT, template: Tensor, search: Tensor) -> Tensor:
    with torch.no_grad():
        return model(template, search, torch.tensor([0])).search


def test_one_template_in_a_list_is_one_template():
    model = tracker(DropTrack).backbone
    template, search = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 64, 64)
    assert torch.equal(encode(model, template[:, None], search), encode(model, template, search))


def test_templates_are_a_set_except_for_elimination():
    torch.manual_seed(0)
    arguments = dict(template_size=32, search_size=64, ce_loc=(), ce_keep_ratio=())
    model = OneStreamViT(**(ENCODER | arguments)).eval()
    templates, search = torch.randn(2, 2, 3, 32, 32), torch.randn(2, 3, 64, 64)
    assert torch.allclose(encode(model, templates, search), encode(model, templates.flip(1), search), atol=1e-5)
    assert not torch.allclose(encode(model, templates, search), encode(model, templates[:, :1], search), atol=1e-2)


@pytest.mark.parametrize(('kind', 'channels', 'num_search'), [(DropTrack, 3, 1), (HIPTrack, 3, 3), (BAT, 6, 1)])
def test_a_batch_with_two_templates_has_the_mean_loss_of_its_samples(kind, channels, num_search):
    """The templates come sample by sample; a sample never gets a template of another one."""
    model = tracker(kind)
    torch.manual_seed(2)
    images = torch.randn(4, channels, 32, 32), torch.randn(2 * num_search, channels, 64, 64)
    samples = []
    for shift in (0.0, 6.0):
        box = torch.tensor([[20.0, 16.0, 44.0, 40.0]]) + shift
        samples.append(
            BaseDataElement(
                gt_instances=InstanceData(bboxes=torch.cat((box / 2, box / 2 + 1))),
                search_gt_instances=InstanceData(bboxes=box.repeat(num_search, 1)),
            )
        )

    def losses(of: slice) -> dict[str, Tensor]:
        start, stop = of.start, of.stop
        inputs = dict(img=images[0][2 * start : 2 * stop], search_img=images[1][num_search * start : num_search * stop])
        return model.loss(inputs, samples[of])

    both, first, second = losses(slice(0, 2)), losses(slice(0, 1)), losses(slice(1, 2))
    for name in ('loss_l1', 'loss_giou', 'iou'):
        assert torch.allclose(both[name], (first[name] + second[name]) / 2, atol=1e-4), name
    sum(value for name, value in both.items() if name.startswith('loss_')).backward()
