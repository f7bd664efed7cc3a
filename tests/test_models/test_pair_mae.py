"""The models: shapes, what depends on what, published sizes, errors."""

import itertools

import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.models import VisionTransformer
from mmpretrain.structures import DataSample
from training import seeded_samples

from mmvidmae.models.masking import mask_by_noise
from mmvidmae.registry import MODELS

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
SMALL_DECODER = dict(decoder_dims=32, depth=2, num_heads=4)
CROPMAE = dict(decoder_dims=256, depth=4, num_heads=8, feedforward_channels=2048, norm_first=False, packed_init=True)
METHODS = ('DropMAE', 'TwinMAE', 'SiamMAE')


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')
    torch.manual_seed(0)


def build(method: str, img_size=(16, 24), patch_size: int = 4, **parts):
    backbone = dict(arch=ARCH, img_size=img_size, patch_size=patch_size, **parts.pop('backbone', {}))
    neck = {**SMALL_DECODER, **parts.pop('neck', {})}
    model = MODELS.build(dict(type=f'mmvidmae.{method}', backbone=backbone, neck=neck, **parts))
    model.init_weights()
    return model


def samples(num: int) -> list[DataSample]:
    return seeded_samples(*range(num))


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize(('img_size', 'patch_size'), [(32, 8), ((28, 42), 14), ((48, 16), 16), ((24, 40), 8)])
def test_one_step_at_any_size(method, img_size, patch_size):
    model = build(method, img_size, patch_size)
    height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
    masks = dict(mask_ratio=0.5) if method != 'SiamMAE' else dict(mask_ratio=(0.0, 0.5))
    model.masking = MODELS.build(
        dict(type='mmvidmae.AsymmetricMasking' if method == 'SiamMAE' else 'mmvidmae.JointRandomMasking', **masks)
    )
    inputs = torch.randint(256, (3, 2, 3, height, width), dtype=torch.uint8)
    data = model.data_preprocessor(dict(inputs=inputs, data_samples=samples(3)))
    loss = model(**data, mode='loss')['loss']
    loss.backward()
    assert loss.isfinite()
    without_gradient = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without_gradient
    predictions = model.eval()(**data, mode='predict')
    assert torch.equal(torch.stack([sample.frames for sample in predictions]), inputs)


COMBINATIONS = list(
    itertools.product(
        ('joint', 'siamese'),
        (False, True),
        (False, True),
        (
            dict(type='mmvidmae.JointRandomMasking', mask_ratio=0.75),
            dict(type='mmvidmae.PerFrameRandomMasking', mask_ratio=0.75),
            dict(type='mmvidmae.AsymmetricMasking', mask_ratio=(0.0, 0.9)),
            dict(type='mmvidmae.GridMasking', stride=(1, 2)),
        ),
        (
            dict(type='mmvidmae.JointPairDecoder', spatial_drop=0.2),
            dict(type='mmvidmae.CrossPairDecoder'),
            dict(type='mmvidmae.CrossPairDecoder', order=('cross', 'ffn'), norm_first=False),
            dict(type='mmvidmae.CrossPairDecoder', order=('self', 'ffn')),
        ),
    )
)


@pytest.mark.parametrize(('encoding', 'frame_embed', 'with_cls_token', 'masking', 'neck'), COMBINATIONS)
def test_every_combination_trains_or_says_why_not(encoding, frame_embed, with_cls_token, masking, neck):
    def make():
        backbone = dict(encoding=encoding, frame_embed=frame_embed, with_cls_token=with_cls_token)
        return build('PairMAE', backbone=backbone, masking=masking, neck=neck)

    joint_mask = masking['type'].endswith('JointRandomMasking')
    if joint_mask and (encoding == 'siamese' or neck['type'].endswith('CrossPairDecoder')):
        with pytest.raises(ValueError, match='fixed number of visible tokens in each frame'):
            make()
        return
    model = make()
    out = model.forward_pretrain(torch.randn(2, 2, 3, 16, 24))
    both = neck['type'].endswith('JointPairDecoder')
    assert out.pred.shape == (2, 48 if both else 24, 48)
    assert out.mask.shape == (2, 48)
    assert [len(latent[0]) for latent in out.latent] == [
        int(ids.shape[1] - mask.sum(1)[0]) + with_cls_token
        for ids, mask in zip(out.ids_restore, out.mask.chunk(len(out.ids_restore), dim=1))
    ]
    out.loss.backward()


@pytest.mark.parametrize('method', METHODS)
def test_hidden_pixels_do_not_leak(method):
    """Changing what is hidden changes neither latents nor predictions; changing what is visible changes both."""
    model = build(method).eval()
    frames, noise = torch.randn(1, 2, 3, 16, 24), torch.rand(1, 48)
    before = model.forward_pretrain(frames, noise)
    patches = model.head.patchify(frames)
    for hidden in (True, False):
        changed = patches + (before.mask[..., None] == hidden) * torch.randn_like(patches)
        after = model.forward_pretrain(model.head.unpatchify(changed, (4, 6)), noise)
        same = all(torch.allclose(a, b, atol=1e-5) for a, b in zip(before.latent, after.latent))
        assert same == hidden
        assert torch.allclose(before.pred, after.pred, atol=1e-5) == hidden


def test_a_siamese_encoder_keeps_frames_apart_and_a_joint_one_does_not():
    frames, other = torch.randn(2, 1, 2, 3, 16, 24)
    other[:, 0] = frames[:, 0]
    for method, apart in (('SiamMAE', True), ('TwinMAE', False)):
        model = build(method).eval()
        past, _ = model(frames)
        past_beside_other, _ = model(other)
        assert torch.allclose(past, past_beside_other, atol=1e-6) == apart


def test_reconstruction_reads_the_past():
    model = build('SiamMAE').eval()
    frames, noise = torch.randn(1, 2, 3, 16, 24), torch.rand(1, 48)
    changed = frames.clone()
    changed[:, 0] += torch.randn_like(changed[:, 0])
    assert not torch.allclose(
        model.forward_pretrain(frames, noise).pred, model.forward_pretrain(changed, noise).pred, atol=1e-4
    )


@pytest.mark.parametrize('method', METHODS)
def test_patches_round_trip(method):
    head = build(method).head
    frames = torch.arange(2 * 2 * 3 * 16 * 24.0).view(2, 2, 3, 16, 24)
    patches = head.patchify(frames)
    assert torch.equal(head.unpatchify(patches, (4, 6)), frames)
    # pixel-major, channel last: token 7 of the second frame is row 1, column 1
    assert torch.equal(patches[1, 24 + 7].view(4, 4, 3), frames[1, 1, :, 4:8, 4:8].permute(1, 2, 0))


def test_a_perfect_prediction_has_no_error_and_gives_the_pixels_back():
    head = build('DropMAE').head
    frames = torch.randn(2, 2, 3, 16, 24)
    patches = head.patchify(frames)
    target = head.normalize(patches)
    assert torch.allclose(target.mean(-1), torch.zeros(2, 48), atol=1e-6)
    assert torch.allclose(target.var(-1), torch.ones(2, 48), atol=1e-4)  # unbiased
    assert torch.allclose(head.denormalize(target, patches), patches, atol=1e-5)
    mask = torch.rand(2, 48).round()
    assert head.loss(target, frames, mask) < 1e-10
    assert head.loss(torch.zeros_like(target), frames, mask) == pytest.approx(47 / 48, rel=1e-3)


@pytest.mark.parametrize('norm_pix', [True, False])
@pytest.mark.parametrize('method', METHODS)
def test_predictions(method, norm_pix):
    model = build(method, head=dict(norm_pix=norm_pix)).eval()
    inputs = torch.randint(256, (4, 2, 3, 16, 24), dtype=torch.uint8)
    data = model.data_preprocessor(dict(inputs=inputs, data_samples=samples(4)))
    predictions = model(**data, mode='predict')
    assert [sample.seed for sample in predictions] == [0, 1, 2, 3]
    for sample, pair in zip(predictions, inputs):
        assert sample.frames.dtype == sample.reconstruction.dtype == torch.uint8
        assert torch.equal(sample.frames, pair)
        assert sample.mask.shape == (2, 16, 24)
        visible = ~sample.mask[:, None].expand_as(pair)
        assert torch.equal(sample.reconstruction[visible], pair[visible])
        assert not torch.equal(sample.reconstruction, pair)
        assert model.head.patchify(sample.mask[None, :, None].expand(1, 2, 3, 16, 24)).float().var(-1).max() == 0
    mean = torch.tensor([float(sample.error) for sample in predictions]).mean()
    assert mean == pytest.approx(model(**data, mode='loss')['loss'].item(), rel=1e-5)
    if norm_pix:
        assert all(float(sample.constant_error) == pytest.approx(47 / 48, rel=0.02) for sample in predictions)


@pytest.mark.parametrize('method', METHODS)
def test_masks_follow_the_seed_of_each_pair(method):
    """The same pair gets the same mask in any batch; pairs without seeds draw from torch's generator."""
    model = build(method).eval()
    inputs = torch.randn(3, 2, 3, 16, 24)
    batch = model(inputs, samples(3), mode='predict')
    alone = model(inputs[[2]], samples(3)[2:], mode='predict')
    assert torch.equal(batch[2].mask, alone[0].mask)
    assert not torch.equal(batch[1].mask, batch[2].mask)
    unseeded = [model(inputs[[0]], mode='predict')[0].mask for _ in range(2)]
    assert not torch.equal(*unseeded)


def test_evaluation_is_deterministic_and_training_drops_attention():
    model, frames, noise = build('DropMAE'), torch.randn(2, 2, 3, 16, 24), torch.rand(2, 48)
    assert model.forward_pretrain(frames, noise).loss != model.forward_pretrain(frames, noise).loss
    model.eval()
    assert model.forward_pretrain(frames, noise).loss == model.forward_pretrain(frames, noise).loss


@pytest.mark.parametrize('method', METHODS)
def test_nothing_is_kept_between_calls(method):
    model = build(method)

    def state():
        return {
            f'{name}.{key}'
            for name, module in model.named_modules()
            for key in (*module.__dict__, *module._buffers)  # attributes of modules
        }

    before = state()
    data = dict(inputs=torch.randn(2, 2, 3, 16, 24), data_samples=samples(2))
    for mode in ('tensor', 'loss', 'predict'):
        model(**data, mode=mode) if mode != 'tensor' else model(data['inputs'])
    assert state() == before


def test_encoder_is_an_mmpretrain_vision_transformer():
    """Its weights load into mmpretrain's class by name alone and give the same features, at other sizes too."""
    ours = build('SiamMAE').backbone.eval()
    plain = VisionTransformer(ARCH, (16, 24), 4, out_type='featmap')
    plain.eval()
    assert plain.load_state_dict(ours.state_dict()).missing_keys == []
    for size in ((16, 24), (32, 20)):
        image = torch.randn(2, 3, *size)
        assert torch.allclose(ours(image)[0], plain(image)[0], atol=1e-5)


def test_single_frames_at_chosen_layers():
    backbone = MODELS.build(
        dict(type='mmvidmae.PairMAEViT', arch=ARCH, img_size=16, patch_size=4, out_indices=[0, 1], frame_embed=True)
    ).eval()
    first, last = backbone(torch.randn(2, 3, 24, 32))
    assert first.shape == last.shape == (2, 24, 6, 8)
    assert backbone.get_layer_depth('backbone.frame_embed', 'backbone.') == (0, 4)


class SingleFrames(torch.nn.Module):
    """The first output, as tracing wants it."""

    def __init__(self, backbone, *more):
        super().__init__()
        self.backbone, self.more = backbone, more

    def forward(self, *images):
        return self.backbone(*images, *self.more)[0]


def batch(size: int, *sides: int) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(size, 3, side, 2 * side) for side in sides)


ENCODERS = pytest.mark.parametrize(
    ('backbone', 'more', 'sides'),
    [
        (dict(img_size=16, frame_embed=True), (), [16]),
        (dict(img_size=16, pos_interp='dino', out_type='avg_featmap', with_cls_token=False), (), [24]),
        (dict(img_size=16, encoding='siamese', out_type='cls_token', with_cp=True), (), [24]),
        (
            dict(type='mmvidmae.OneStreamViT', template_size=(8, 16), search_size=(16, 32), ce_loc=(0,))
            | dict(ce_keep_ratio=(0.6,)),
            (torch.tensor([3, 4]),),
            [8, 16],
        ),
    ],
    ids=['featmap', 'avg_featmap', 'cls_token', 'OneStreamViT'],
)


@ENCODERS
@torch.no_grad()
def test_encoders_trace_with_a_dynamic_batch(backbone, more, sides):
    config = dict(type='mmvidmae.PairMAEViT', arch=ARCH, patch_size=4) | backbone
    model = SingleFrames(MODELS.build(config), *more).eval()
    few, many = batch(2, *sides), batch(5, *sides)
    traced = torch.jit.trace(model, few)
    assert torch.allclose(traced(*many), model(*many), atol=1e-5)


@pytest.mark.skipif(not hasattr(torch.export, 'Dim'), reason='torch before 2.2 exports no dynamic sizes')
@ENCODERS
@torch.no_grad()
def test_encoders_export_with_a_dynamic_batch(backbone, more, sides):
    config = dict(type='mmvidmae.PairMAEViT', arch=ARCH, patch_size=4) | backbone
    model = SingleFrames(MODELS.build(config), *more).eval()
    few, many = batch(2, *sides), batch(5, *sides)
    size = torch.export.Dim('batch', min=1, max=64)
    exported = torch.export.export(model, few, dynamic_shapes=dict(images=tuple({0: size} for _ in few)))
    assert torch.allclose(exported.module()(*many), model(*many), atol=1e-5)


class TestFeaturesOfPairs:
    """``mode='tensor'``: what training would see if nothing were hidden."""

    def test_a_joint_encoder_has_the_class_token_that_it_was_trained_with(self):
        model = build('PairMAE', backbone=dict(encoding='joint', with_cls_token=True)).eval()
        frames = torch.randn(2, 2, 3, 16, 24)
        first, second = model(frames)
        assert (first.shape, second.shape) == ((2, 1 + 24, 24), (2, 24, 24))
        whole = mask_by_noise(torch.zeros(2, 48), 48)
        (trained,) = model.backbone(frames, (whole,))
        assert torch.allclose(torch.cat((first, second), dim=1), trained, atol=1e-5)

    @pytest.mark.parametrize('encoding', ['joint', 'siamese'])
    def test_one_in_front_of_each_frame_where_frames_are_masked_apart(self, encoding):
        masking = dict(type='mmvidmae.PerFrameRandomMasking', mask_ratio=0.5)
        model = build('PairMAE', backbone=dict(encoding=encoding, with_cls_token=True), masking=masking).eval()
        frames = torch.randn(2, 2, 3, 16, 24)
        features = model(frames)
        assert [feature.shape for feature in features] == [(2, 1 + 24, 24)] * 2
        model.masking = MODELS.build(dict(type='mmvidmae.AsymmetricMasking', mask_ratio=(0.0, 0.0)))
        for feature, latent in zip(features, model.forward_pretrain(frames).latent):
            assert torch.allclose(feature, latent, atol=1e-5)


def test_models_accept_another_size_than_they_were_made_for():
    for method in METHODS:
        model = build(method)
        assert model.forward_pretrain(torch.randn(1, 2, 3, 32, 32)).pred.shape[1] in (64, 128)
        with pytest.raises(ValueError, match='30 x 32 pixels do not divide into patches of 4'):
            model.forward_pretrain(torch.randn(1, 2, 3, 30, 32))


@pytest.mark.parametrize(
    ('method', 'arch', 'patch', 'neck', 'encoder', 'total'),
    [
        # millions of trainable parameters; the first three from reference implementations, computed by hand
        ('DropMAE', 'base', 16, {}, 85.65, 111.66),
        ('SiamMAE', 'small', 16, CROPMAE, 21.59, 28.4),
        ('SiamMAE', 'small', 16, {}, 21.59, 56.0),
        ('DropMAE', 'large', 16, {}, 303.1, 329.2),
        ('DropMAE', 'huge', 14, {}, 630.4, 656.8),
        ('SiamMAE', 'small', 8, {}, 21.37, 55.5),
        ('TwinMAE', 'tiny', 16, {}, 5.49, 31.2),
    ],
)
def test_published_sizes(method, arch, patch, neck, encoder, total):
    with torch.device('meta'):
        model = MODELS.build(
            dict(type=f'mmvidmae.{method}', backbone=dict(arch=arch, img_size=224, patch_size=patch), neck=neck)
        )

    def millions(module):
        return sum(p.numel() for p in module.parameters() if p.requires_grad) / 1e6

    assert millions(model.backbone) == pytest.approx(encoder, rel=2e-3)
    assert millions(model) == pytest.approx(total, rel=1e-2)


def test_initialization_is_that_of_mae():
    model = build('DropMAE', backbone=dict(with_cls_token=False))
    for name, p in model.named_parameters():
        if name.endswith('bias') and 'projection' not in name:
            assert not p.any(), name
    qkv = model.backbone.layers[0].attn.qkv.weight
    assert qkv.abs().max() <= (6 / sum(qkv.shape)) ** 0.5  # xavier-uniform
    assert model.backbone.frame_embed.std().item() == pytest.approx(1, abs=0.4)
    assert model.neck.mask_token.std().item() == pytest.approx(0.02, abs=0.01)
    assert not model.backbone.pos_embed.requires_grad


@pytest.mark.parametrize(('packed_init', 'query', 'key_value'), [(False, 2, 3), (True, 4, 4)])
def test_initial_attention_is_drawn_as_in_the_references(packed_init, query, key_value):
    """Xavier-uniform over the matrices that the references have: RSP's and ToBo's (d, d) and (2 d, d), CropMAE's one
    (3 d, d); self-attention (3 d, d) everywhere."""
    dims = 32
    attention = build('SiamMAE', neck=dict(packed_init=packed_init)).neck.decoder_blocks
    for block in attention:
        for weight, rows in (
            (block.cross_attn.q.weight, query),
            (block.cross_attn.kv.weight, key_value),
            (block.cross_attn.proj.weight, 2),
            (block.self_attn.qkv.weight, 4),
            (block.self_attn.proj.weight, 2),
        ):
            bound = (6 / (rows * dims)) ** 0.5
            assert weight.abs().max() <= bound
            assert weight.abs().max() > 0.98 * bound
            assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


@pytest.mark.parametrize('method', METHODS)
def test_every_linear_layer_starts_xavier_uniform(method):
    model = build(method)
    packed = [module for module in model.modules() if getattr(module, 'packed_init', False)]
    assert not packed
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}
    assert len(layers) > 10
    for name, layer in layers.items():
        bound = (6 / sum(layer.weight.shape)) ** 0.5
        assert 0.95 * bound < layer.weight.abs().max() <= bound, name
    projection = model.backbone.patch_embed.projection
    bound = (6 / (projection.weight[0].numel() + len(projection.weight))) ** 0.5
    assert 0.95 * bound < projection.weight.abs().max() <= bound
    assert projection.bias.any(), "PyTorch's, as in MAE's code"


PER_FRAME, GRID = 'mmvidmae.PerFrameRandomMasking', 'mmvidmae.GridMasking'


@pytest.mark.parametrize(
    ('method', 'masking', 'message'),
    [
        ('DropMAE', dict(mask_ratio=0), 'JointRandomMasking hides nothing of frame 0 and 1'),
        ('DropMAE', dict(type=PER_FRAME, mask_ratio=0.0), 'hides nothing of frame 0 and 1'),
        ('SiamMAE', dict(mask_ratio=(0.5, 0.0)), 'AsymmetricMasking hides nothing of frame 1'),
        ('SiamMAE', dict(type=GRID, stride=(2, 1)), 'GridMasking hides nothing of frame 1'),
        ('DropMAE', dict(type=GRID, stride=1), 'above 0, or a stride above 1'),
    ],
)
def test_a_loss_over_nothing_is_refused(method, masking, message):
    with pytest.raises(ValueError, match=message):
        build(method, masking=masking)


@pytest.mark.parametrize('ratio', [(0.5, 0.0), (0.0, 0.5)])
def test_one_whole_frame_is_no_fault_where_the_other_is_predicted(ratio):
    model = build('DropMAE', masking=dict(type='mmvidmae.AsymmetricMasking', mask_ratio=ratio))
    assert model.forward_pretrain(torch.randn(2, 2, 3, 16, 24)).loss.isfinite()


BAD_VALUES = [
    ('DropMAE', 'masking', 'mask_ratio', 75, r'a share in \[0, 1\)'),
    ('DropMAE', 'masking', 'mask_ratio', 1.0, 'a share in'),
    ('DropMAE', 'masking', 'mask_ratio', -0.1, 'a share in'),
    ('DropMAE', 'masking', 'mask_ratio', '75 %', 'a share in'),
    ('SiamMAE', 'masking', 'mask_ratio', (0, 95), 'a share in'),
    ('SiamMAE', 'masking', 'mask_ratio', 0.95, 'one share for each frame'),
    ('DropMAE', 'backbone', 'img_size', (16, 23), 'positive multiples of patch_size=4'),
    ('DropMAE', 'backbone', 'img_size', 0, 'positive multiples'),
    ('DropMAE', 'backbone', 'img_size', 16.0, 'positive multiples'),
    ('DropMAE', 'backbone', 'patch_size', 0, 'a whole number of at least 1'),
    ('DropMAE', 'backbone', 'arch', 'bass', 'one of tiny, small, base, large, huge, or a dict'),
    ('DropMAE', 'backbone', 'arch', dict(embed_dims=24), 'a dict with embed_dims, num_layers'),
    ('DropMAE', 'backbone', 'arch', {**ARCH, 'num_heads': 5}, 'a positive multiple of num_heads=5'),
    ('DropMAE', 'backbone', 'arch', {**ARCH, 'embed_dims': 26}, 'divisible by 4'),
    ('DropMAE', 'backbone', 'arch', {**ARCH, 'num_layers': 0}, 'at least 1'),
    ('DropMAE', 'backbone', 'drop_path_rate', 10, 'a share in'),
    ('DropMAE', 'backbone', 'drop_rate', -1, 'a share in'),
    ('DropMAE', 'backbone', 'out_indices', (1, 2), 'one or more layers from -2 to 1'),
    ('DropMAE', 'backbone', 'frozen_stages', 3, 'a number of the 2 layers, or -1'),
    ('DropMAE', 'neck', 'spatial_drop', 10, r'a share in \[0, 1\]'),
    ('DropMAE', 'neck', 'decoder_dims', 30, 'a positive multiple of num_heads=4'),
    ('DropMAE', 'neck', 'depth', 0, 'at least 1'),
    ('DropMAE', 'neck', 'mlp_ratio', 0, 'a positive number'),
    ('SiamMAE', 'neck', 'dropout', 10, 'a share in'),
    ('SiamMAE', 'neck', 'order', ('crss', 'self', 'ffn'), "some of 'cross', 'self' and 'ffn'"),
    ('SiamMAE', 'neck', 'feedforward_channels', 0, 'at least 1'),
    ('SiamMAE', 'neck', 'num_heads', 0, 'at least 1'),
    ('DropMAE', 'head', 'patch_size', 0, 'at least 1'),
]


@pytest.mark.parametrize(('method', 'part', 'name', 'value', 'expected'), BAD_VALUES)
def test_values_out_of_range_are_found_when_the_model_is_built(method, part, name, value, expected):
    key = {'arch': '(arch|embed_dims|num_layers)'}.get(name, name)
    config = dict(type=f'mmvidmae.{method}', backbone=dict(arch=ARCH, img_size=(16, 24), patch_size=4))
    config['neck'] = dict(SMALL_DECODER)
    config.setdefault(part, {})[name] = value
    with pytest.raises(ValueError, match=rf'\w+: {key} must be .*{expected}.*, got ') as error:
        MODELS.build(config)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('parts', 'error', 'message'),
    [
        (dict(neck=dict(order=('crss',))), ValueError, "order must be some of 'cross', 'self' and 'ffn'"),
        (dict(neck=dict(num_layers=2)), TypeError, 'num_layers'),
        (dict(backbone=dict(encoding='both')), ValueError, "'joint' or 'siamese'"),
    ],
)
def test_bad_configs_name_the_option(parts, error, message):
    with pytest.raises(error, match=message):
        build('SiamMAE', **parts)


THREE_RATIOS = dict(type='mmvidmae.AsymmetricMasking', mask_ratio=(0.0, 0.75, 0.75))
TWO_FUTURES = (dict(targets=(1,), name='near'), dict(targets=(2,), memory=(0, 1), weight=0.5, name='far'))


class TestClips:
    """Clips of more than two frames."""

    def make(self, method='SiamMAE', **parts):
        torch.manual_seed(0)
        if method == 'SiamMAE':
            parts = dict(masking=THREE_RATIOS, neck=dict(branches=TWO_FUTURES)) | parts
        return build(method, num_frames=3, **parts)

    def test_branches_of_siammae(self):
        model = self.make().eval()
        frames, noise = torch.randn(2, 3, 3, 16, 24), torch.rand(2, 72)
        out = model.forward_pretrain(frames, noise)
        assert [pred.shape for pred in out.preds] == [(2, 24, 48)] * 2
        assert out.mask.unflatten(1, (3, -1)).sum(2).tolist() == [[0, 18, 18]] * 2
        pair = build('SiamMAE', masking=dict(mask_ratio=(0.0, 0.75))).eval()
        pair.load_state_dict(model.state_dict())
        near = pair.forward_pretrain(frames[:, :2], noise[:, :48])
        assert torch.equal(near.pred, out.preds[0])
        assert near.losses['loss'] == out.losses['loss_near']
        raw = model.head.loss(out.preds[1], frames[:, 2:], out.mask[:, 48:])
        assert out.losses['loss_far'] == raw * 0.5
        assert out.loss == out.losses['loss_near'] + out.losses['loss_far']

    def test_the_second_branch_reads_what_is_visible_of_the_first_target(self):
        model = self.make().eval()
        frames, noise = torch.randn(1, 3, 3, 16, 24), torch.rand(1, 72)
        before = model.forward_pretrain(frames, noise)
        patches = model.head.patchify(frames)
        middle = torch.arange(72).floor_divide(24)[None, :, None] == 1
        for hidden in (True, False):
            changed = patches + (middle & (before.mask[..., None] == hidden)) * torch.randn_like(patches)
            after = model.forward_pretrain(model.head.unpatchify(changed, (4, 6)), noise)
            assert torch.allclose(before.preds[1], after.preds[1], atol=1e-5) == hidden

    def test_all_losses_are_optimized_and_logged(self):
        model = self.make()
        inputs = torch.randint(256, (2, 3, 3, 16, 24), dtype=torch.uint8)
        data = model.data_preprocessor(dict(inputs=inputs, data_samples=samples(2)))
        total, logged = model.parse_losses(model(**data, mode='loss'))
        assert {*logged} == {'loss', 'loss_near', 'loss_far'}
        assert total == logged['loss_near'] + logged['loss_far']
        total.backward()
        assert all(p.grad is not None for p in model.parameters() if p.requires_grad)

    @pytest.mark.parametrize('method', ['SiamMAE', 'TwinMAE'])
    def test_predictions(self, method):
        model = self.make(method).eval()
        inputs = torch.randint(256, (2, 3, 3, 16, 24), dtype=torch.uint8)
        data = model.data_preprocessor(dict(inputs=inputs, data_samples=samples(2)))
        for sample, clip in zip(model(**data, mode='predict'), inputs):
            assert torch.equal(sample.frames, clip)
            assert sample.mask.shape == (3, 16, 24)
            hidden = sample.mask[:, None].expand_as(clip)
            assert torch.equal(sample.reconstruction[~hidden], clip[~hidden])
            assert (sample.reconstruction != clip).flatten(1).any(1).tolist() == [method == 'TwinMAE', True, True]
        assert [len(features[0]) for features in model(data['inputs'])] == [24 + model.backbone.with_cls_token] * 3

    def test_mask_tokens_as_queries_and_a_loss_over_all_patches(self):
        branches = (dict(targets=(1,), queries='mask', over='all'),)
        model = build('SiamMAE', masking=dict(mask_ratio=(0.0, 0.0)), neck=dict(branches=branches)).eval()
        frames = torch.randn(2, 2, 3, 16, 24)
        out, other = (
            model.forward_pretrain(frames),
            model.forward_pretrain(torch.cat((frames[:, :1], -frames[:, 1:]), 1)),
        )
        assert torch.equal(out.pred, other.pred), 'the queries know nothing of the target'
        error = (out.pred - model.head.normalize(model.head.patchify(frames[:, 1:]))).square().mean()
        assert out.loss.item() == pytest.approx(error.item(), rel=1e-5)

    def test_the_class_token_of_another_frame_without_memory(self):
        branches = (dict(targets=(1,), memory=(), cls_token=0),)
        model = build('SiamMAE', masking=dict(mask_ratio=(0.0, 0.75)), neck=dict(branches=branches))
        out = model.forward_pretrain(torch.randn(2, 2, 3, 16, 24))
        (gradient,) = torch.autograd.grad(out.loss, out.latent[:1])
        assert gradient[:, 0].abs().min() > 0
        assert not gradient[:, 1:].any(), 'all that is known of the past is its class token'


@pytest.mark.parametrize(
    ('parts', 'message'),
    [
        (dict(neck=dict(branches=[dict(targets=(2,))])), r'over frames 0 to 1 \(num_frames=2\)'),
        (dict(neck=dict(branches=[dict(memory=(0, 3))])), 'over frames 0 to 1'),
        (dict(neck=dict(branches=[dict(targets=(0,))])), 'hides nothing of frame 0'),
        (dict(neck=dict(branches=[dict(), dict(name='b')])), 'with different names'),
        (dict(neck=dict(branches=[])), 'branches must be one or more'),
        (dict(neck=dict(branches=[dict(queries='all')])), "queries must be 'restored' or 'mask'"),
        (dict(neck=dict(branches=[dict(over='visible')])), "over must be 'hidden' or 'all'"),
        (dict(neck=dict(branches=[dict(queries='mask', memory=())])), 'memory must be one frame or more'),
        (dict(neck=dict(branches=[dict(cls_token=0)]), backbone=dict(with_cls_token=False)), 'set with_cls_token=True'),
        (dict(num_frames=3), 'is for clips of 2 frames, but num_frames=3'),
        (dict(masking=dict(mask_ratio=(0.0, 0.5, 0.5))), 'is for clips of 3 frames, but num_frames=2'),
        (dict(masking=dict(type='mmvidmae.JointRandomMasking')), 'fixed number of visible tokens'),
    ],
)
def test_parts_that_do_not_fit_are_refused_when_the_model_is_built(parts, message):
    with pytest.raises(ValueError, match=message) as error:
        build('SiamMAE', **parts)
    assert '\n' not in str(error.value)


def test_attention_dropout_is_for_pairs():
    with pytest.raises(ValueError, match='spatial_drop must be 0 for more than two frames'):
        build('DropMAE', num_frames=3)


@pytest.mark.parametrize('method', METHODS)
def test_mixed_precision_agrees_with_float32(method):
    model, frames, noise = build(method).eval(), torch.randn(2, 2, 3, 16, 24), torch.rand(2, 48)
    expected = model.forward_pretrain(frames, noise).loss
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = model.forward_pretrain(frames, noise)
    assert out.pred.dtype == torch.bfloat16
    assert out.loss.item() == pytest.approx(expected.item(), rel=0.02)
    out.loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
