"""RSP: what the sampled token, the losses and both branches depend on; a wrong model fails the parity check."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from parity import check_file
from training import check_that_the_loss_falls, seeded_samples

from mmvidmae.models.necks import CrossPairDecoder, StochasticToken
from mmvidmae.models.selfsup import RSP, SiamMAE

PARITY = Path(__file__).parents[1] / 'data/parity/rsp.npz'
ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
NECK = dict(decoder_dims=32, depth=2, num_heads=4)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')
    torch.manual_seed(0)


def build(model: type = RSP, backbone: dict | None = None, neck: dict | None = None, **parts):
    backbone = {**dict(arch=ARCH, img_size=(16, 24), patch_size=4), **(backbone or {})}
    if model is RSP:
        parts.setdefault('stochastic', dict(num_variables=4, num_classes=6))
    built = model(backbone=backbone, neck={**NECK, **(neck or {})}, **parts)
    built.init_weights()
    return built


def test_the_loss_falls():
    check_that_the_loss_falls(build(), torch.randn(4, 2, 3, 16, 24), {'loss_future', 'loss_mae', 'loss_kl'})


def test_a_seed_determines_mask_noise_and_sampled_classes():
    model, inputs = build().train(), torch.randn(2, 2, 3, 16, 24)
    draws = model._draws(inputs, seeded_samples(5, 6))
    alone = model._draws(inputs[1:], seeded_samples(6))
    assert all(torch.equal(draws[name][1:], alone[name]) for name in draws)
    assert {name: tuple(value.shape) for name, value in draws.items()} == dict(
        noise=(2, 48), pixel_noise=(2, 3, 16, 24), uniform=(2, 4)
    )
    assert draws['pixel_noise'].mean().abs() < 0.1
    assert draws['pixel_noise'].std().item() == pytest.approx(1, abs=0.05)
    pair = build(SiamMAE)._draws(inputs, seeded_samples(5, 6))
    assert torch.equal(pair['noise'], draws['noise']), 'a seed gives one mask, whatever the method'

    first = model(inputs, seeded_samples(5, 6), mode='loss')
    torch.manual_seed(99)
    again = model(inputs, seeded_samples(5, 6), mode='loss')
    other = model(inputs, seeded_samples(5, 7), mode='loss')
    assert all(torch.equal(first[name], again[name]) and first[name] != other[name] for name in first)
    assert model(inputs, mode='loss')['loss_future'] != model(inputs, mode='loss')['loss_future'], 'without seeds'


def test_what_the_branches_read():
    model = build().eval()
    frames = torch.randn(1, 2, 3, 16, 24)
    draws = dict(noise=torch.rand(1, 48), pixel_noise=torch.zeros(1, 3, 16, 24), classes=torch.zeros(1, 4).long())
    before = model.forward_pretrain(frames, **draws)
    other_source = model.forward_pretrain(torch.stack((-frames[:, 0], frames[:, 1]), 1), **draws)
    assert not torch.equal(before.preds[0], other_source.preds[0])
    assert torch.equal(before.preds[1], other_source.preds[1]), 'the MAE branch knows nothing of the source'
    other_target = model.forward_pretrain(torch.stack((frames[:, 0], -frames[:, 1]), 1), **draws)
    torch.testing.assert_close(before.preds[0], other_target.preds[0])  # of the target only the classes are known
    assert not torch.allclose(before.preds[1], other_target.preds[1])
    other_classes = model.forward_pretrain(frames, **{**draws, 'classes': torch.ones(1, 4).long()})
    assert not torch.allclose(before.preds[0], other_classes.preds[0])
    patches = model.head.patchify(frames)
    hidden = model.head.unpatchify(patches + before.mask[..., None] * torch.randn_like(patches), (4, 6))
    assert torch.allclose(before.preds[1], model.forward_pretrain(hidden, **draws).preds[1], atol=1e-5)


def test_what_each_loss_trains():
    model = build(stochastic=dict(num_variables=4, num_classes=6, free_bits=0.0))
    out = model.forward_pretrain(torch.randn(2, 2, 3, 16, 24))
    parts = dict(
        posterior=model.stochastic.posterior[0].weight,
        prior=model.stochastic.prior[0].weight,
        token=model.stochastic.embed.weight,
        source=model.neck.decoder_embed[0].weight,
        target=model.neck.decoder_embed[1].weight,
        encoder=model.backbone.layers[0].attn.qkv.weight,
    )
    trained = {}
    for name, loss in out.losses.items():
        grads = torch.autograd.grad(loss, list(parts.values()), retain_graph=True, allow_unused=True)
        trained[name] = {part for part, grad in zip(parts, grads) if grad is not None and grad.any()}
    assert trained == dict(
        loss_future={'posterior', 'token', 'source', 'encoder'},
        loss_mae={'target', 'encoder'},
        loss_kl={'posterior', 'prior', 'encoder'},
    )


def test_prediction_covers_the_whole_future_frame():
    model = build().eval()
    inputs = torch.randint(256, (2, 2, 3, 16, 24), dtype=torch.uint8)
    data = model.data_preprocessor(dict(inputs=inputs, data_samples=seeded_samples(1, 2)))
    predictions = model(**data, mode='predict')
    loss = model(**data, mode='loss')['loss_future']
    torch.testing.assert_close(torch.stack([sample.error for sample in predictions]).mean(), loss)
    for sample, clip in zip(predictions, inputs):
        assert torch.equal(sample.reconstruction[0], clip[0])
        visible = ~sample.mask[1]
        assert (sample.reconstruction[1] != clip[1])[:, visible].any()


def test_mixed_precision_agrees_with_float32():
    model, frames = build().eval(), torch.randn(2, 2, 3, 16, 24)
    draws = dict(noise=torch.rand(2, 48), pixel_noise=torch.randn(2, 3, 16, 24), classes=torch.ones(2, 4).long())
    expected = model.forward_pretrain(frames, **draws)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = model.forward_pretrain(frames, **draws)
    assert out.losses['loss_kl'].dtype == torch.float32
    for name, loss in out.losses.items():
        assert loss.item() == pytest.approx(expected.losses[name].item(), rel=0.05), name
    out.loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


class TestStochasticToken:
    def make(self, **options) -> StochasticToken:
        token = StochasticToken(embed_dims=8, token_dims=6, **{**dict(num_variables=3, num_classes=4), **options})
        token.init_weights()
        return token

    def test_classes_are_as_frequent_as_they_are_likely(self):
        token = self.make(num_variables=2, num_classes=3)
        token.embed = torch.nn.Identity()
        logits = torch.randn(2, 3).expand(20000, 2, 3)
        frequency = token.token(logits)[:, 0].unflatten(1, (2, 3)).mean(0)
        torch.testing.assert_close(frequency, logits[0].softmax(-1), atol=0.02, rtol=0)

    def test_ends_of_the_uniform_noise(self):
        token = self.make(num_variables=1, num_classes=3)
        token.embed = torch.nn.Identity()
        logits = torch.tensor([[[-40.0, 0.0, 0.0]]]).expand(2, 1, 3)
        one_hot = token.token(logits, uniform=torch.tensor([[0.0], [1.0 - 2.0**-53]], dtype=torch.float64))
        assert one_hot.argmax(-1).flatten().tolist() == [0, 2]

    def test_straight_through_gradient(self):
        token = self.make()
        logits = torch.randn(2, 3, 4, requires_grad=True)
        weights, classes = torch.randn(2, 1, 6), torch.randint(4, (2, 3))
        (gradient,) = torch.autograd.grad((token.token(logits, classes=classes) * weights).sum(), logits)
        soft = token.embed(logits.softmax(-1).flatten(1))[:, None]
        (expected,) = torch.autograd.grad((soft * weights).sum(), logits)
        torch.testing.assert_close(gradient, expected)
        hard = token.embed(torch.nn.functional.one_hot(classes, 4).float().flatten(1))[:, None]
        torch.testing.assert_close(token.token(logits, classes=classes), hard)

    def test_divergence_and_its_balance(self):
        token = self.make(kl_balance=0.3)
        posterior, prior = torch.randn(2, 5, 3, 4).requires_grad_().unbind()
        value = token.kl(posterior, prior)
        distributions = [torch.distributions.Categorical(logits=logits) for logits in (posterior, prior)]
        expected = torch.distributions.kl_divergence(*distributions).sum(1).mean()
        torch.testing.assert_close(value, expected)
        shares = [
            (torch.autograd.grad(value, logits, retain_graph=True)[0].norm() / whole.norm()).item()
            for logits, whole in zip((posterior, prior), torch.autograd.grad(expected, (posterior, prior)))
        ]
        assert shares == pytest.approx([0.3, 0.7], rel=1e-4)

    def test_below_the_free_bits_there_is_no_gradient(self):
        token = self.make(free_bits=50.0)
        source, target = torch.randn(2, 5, 8)
        _, loss = token(source, target)
        assert loss == 50
        loss.backward()
        assert not token.posterior[0].weight.grad.any()
        assert not token.prior[0].weight.grad.any()

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            (dict(num_variables=0), 'num_variables must be a whole number of at least 1'),
            (dict(num_classes=1), 'num_classes must be a whole number of at least 2'),
            (dict(kl_balance=1.5), 'kl_balance must be a share'),
            (dict(free_bits=-0.1), 'free_bits must be a number of nats of at least 0'),
        ],
    )
    def test_bad_values(self, options, message):
        with pytest.raises(ValueError, match=message):
            self.make(**options)


FUTURE = dict(targets=(1,), memory=(0,), queries='mask', over='all', name='future')


@pytest.mark.parametrize(
    ('parts', 'message'),
    [
        (dict(num_frames=3, masking=dict(mask_ratio=(0.0, 0.5, 0.5))), 'RSP: num_frames must be 2'),
        (dict(backbone=dict(encoding='joint')), "backbone.encoding must be 'siamese'"),
        (dict(backbone=dict(with_cls_token=False)), 'backbone.with_cls_token must be True'),
        (dict(backbone=dict(frame_embed=True)), 'backbone.frame_embed must be False'),
        (dict(neck=dict(branches=[FUTURE])), 'a list with sampled_token=True'),
        (dict(neck=dict(branches=[dict(FUTURE, memory_tokens='all')])), "must be 'visible' or 'restored'"),
        (dict(neck=dict(memory_pos_embed=False)), "memory_pos_embed must be True for memory_tokens='restored'"),
        (
            dict(neck=dict(branches=[dict(targets=(1,), memory=(), sampled_token=True)])),
            'memory must be one frame or more beside a sampled token',
        ),
        (dict(noise_scale=-1.0), 'noise_scale must be a number of at least 0'),
        (dict(kl_weight=-1.0), 'kl_weight must be a number of at least 0'),
        (dict(masking=dict(mask_ratio=(0.0, 0.0))), 'hides nothing of frame 1'),
        (dict(model=SiamMAE, neck=dict(branches=[dict(FUTURE, sampled_token=True)])), 'SiamMAE draws no token'),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused_when_the_model_is_built(parts, message):
    with pytest.raises(ValueError, match=message) as error:
        build(**parts)
    assert '\n' not in str(error.value)


def failures() -> set[str]:
    return {difference.name.split(':')[0] for difference in check_file(PARITY).differences if not difference.passed}


class TestAWrongModelFailsTheParityCheck:
    def test_reversed_divergence(self, monkeypatch):
        right = StochasticToken._divergence
        monkeypatch.setattr(StochasticToken, '_divergence', staticmethod(lambda logits, others: right(others, logits)))
        assert {'kl_value', 'loss', 'kl/gradnorm/to_prior.0.weight'} <= failures()

    def test_the_balance_the_other_way_round(self, monkeypatch):
        def swapped(self, posterior, prior):
            trained, fixed = self._divergence(posterior, prior.detach()), self._divergence(posterior.detach(), prior)
            return (1 - self.kl_balance) * trained + self.kl_balance * fixed

        monkeypatch.setattr(StochasticToken, 'kl', swapped)
        failed = failures()
        assert 'kl/gradnorm/to_posterior.0.weight' in failed
        assert all('gradnorm' in name for name in failed)

    def test_a_memory_of_visible_tokens_only(self, monkeypatch):
        neck = RSP.recipe['neck']
        future, mae = neck['branches']
        neck = {**neck, 'branches': (future, {**mae, 'memory_tokens': 'visible'})}
        monkeypatch.setattr(RSP, 'recipe', {**RSP.recipe, 'neck': neck})
        assert {'mae_memory', 'pred_mae', 'loss_mae'} <= failures()

    def test_the_token_last(self, monkeypatch):
        """Harmless for the prediction, so only the memory tells."""
        cat = torch.cat

        def last(self, latents, masks, grid, sampled_token):
            preds = []
            pos_embed, tokens = self.pos_embed(grid), self._project(latents)
            for branch in self.branches:
                memory = self._memory(branch, tokens, masks, pos_embed)
                if branch.sampled_token:
                    memory = cat((memory, sampled_token), dim=1)
                preds.append(self.decode(self._queries(branch, tokens, masks, pos_embed), memory))
            return tuple(preds)

        monkeypatch.setattr(CrossPairDecoder, 'forward', last)
        assert failures() == {'future_memory'}
