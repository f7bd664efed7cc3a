"""The explorer without its page: what it shows is what the package computes, and what is kept does not change it."""

import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmvidmae.apis import FeatureInferencer, ReconstructionInferencer, get_model
from mmvidmae.apis.explorer import (
    DINOV2,
    SIAMMAE,
    Costs,
    Explorer,
    ModelSource,
    Region,
    format_regions,
    outlines_of,
    parse_models,
    parse_regions,
)
from mmvidmae.apis.explorer.costs import Cache
from mmvidmae.apis.explorer.encoders import SIAMMAE_MODEL
from mmvidmae.models.propagation import MaskLabels

SIZE = 48
ARCH = dict(embed_dims=48, num_layers=3, num_heads=3, feedforward_channels=96)
BOX = Region(1, 1, (((8.0, 8.0), (32.0, 24.0)),))


@pytest.fixture(scope='module')
def explorer(tmp_path_factory, video_dir, tiny_config):
    """Two tiny models, and the clips of ``video_dir`` (64 x 48, from 12 frames)."""
    root = tmp_path_factory.mktemp('models')
    sources = []
    for name in ('DropMAE', 'SiamMAE'):
        torch.manual_seed(0)
        config = tiny_config(name)
        config.dump(root / f'{name}.py')
        torch.save(get_model(config, device='cpu').state_dict(), root / f'{name}.pth')
        sources.append(ModelSource(name, str(root / f'{name}.py'), str(root / f'{name}.pth')))
    return Explorer(video_dir, sources, device='cpu')


def test_regions_survive_as_text():
    mask = np.zeros((48, 64), bool)
    mask[4:30, 6:50] = True
    mask[10:20, 20:30] = False  # a hole
    drawn = Region(7, 2, outlines_of(mask))
    (read,) = parse_regions(format_regions([drawn]))
    assert (read.frame, read.object) == (7, 2)
    assert (read.mask(mask.shape) != mask).sum() <= 0.05 * mask.sum()
    assert not read.mask(mask.shape)[12:18, 22:28].any()
    assert parse_regions(format_regions([drawn, BOX])) == [BOX, read], 'sorted by frame'
    box = BOX.mask((48, 64))
    assert box[8:24, 8:32].all()
    assert box.sum() == 16 * 24


def test_a_drawing_of_a_smaller_picture_has_its_place_in_the_frame():
    small = np.zeros((24, 32), bool)
    small[5:15, 8:20] = True
    large = Region(0, 1, outlines_of(small, (2.0, 2.0))).mask((48, 64))
    expected = small.repeat(2, 0).repeat(2, 1)
    assert (large & expected).sum() / (large | expected).sum() > 0.85


@pytest.mark.parametrize('text', ['1:1', '1:9:1_2_3_4', 'a:1:1_2_3_4', '1:1:1_2_3', '1:1:1_2'])
def test_damaged_regions_are_refused(text):
    with pytest.raises(ValueError, match='drawn regions'):
        parse_regions(text)


def test_empty_and_outside_drawings_are_refused():
    with pytest.raises(ValueError, match='nothing is drawn'):
        outlines_of(np.zeros((4, 4), bool))
    with pytest.raises(ValueError, match='outside the frame'):
        Region(0, 1, (((100.0, 100.0), (120.0, 120.0)),)).mask((48, 64))


def test_features_are_those_of_the_inferencer(explorer):
    """Also the keys of the heads: with the queries they give the attention of the layer."""
    from mmvidmae.models.layers import attention_weights

    model = explorer.model('SiamMAE')
    features = explorer.features('SiamMAE', 'a.mp4', 3, SIZE)
    infer = FeatureInferencer(model.model, show_progress=False)
    seen = []
    attn = model.backbone.layers[1].attn
    with attn.register_forward_pre_hook(lambda _, x: seen.append((x[0], attention_weights(attn, x[0])))):
        expected = infer([explorer.frame('a.mp4', 3)], layers=(0, 1, 2), short_side=SIZE)['predictions']
    for layer, maps in zip(features.layers, expected):
        torch.testing.assert_close(layer, maps[0])
    tokens, weights = seen[0]
    query = attn.qkv(tokens).chunk(3, dim=-1)[0].unflatten(2, (3, -1))[0, 1:]  # without the class token
    for head in range(3):
        keys = features.choose(1, head).flatten(1)
        scores = query[:, head] @ keys / keys.shape[0] ** 0.5
        ours = scores.softmax(-1)
        theirs = weights[0, head, 1:, 1:]
        torch.testing.assert_close(ours, theirs / theirs.sum(-1, keepdim=True))


def test_a_point_matches_itself_in_its_own_frame(explorer):
    for layer, head in ((-1, None), (0, None), (1, 2)):
        found = explorer.match('DropMAE', 'a.mp4', (3, 3), (37.0, 21.0), SIZE, layer, head, best=3)
        assert found.similarity.shape == (6, 8)
        assert found.values[0] == pytest.approx(1, abs=1e-5)
        assert found.places[0] == (pytest.approx(4.5 / 8), pytest.approx(2.5 / 6))
        assert len(set(found.places)) == 3
        assert found.values == sorted(found.values, reverse=True)


def test_kept_features_are_not_computed_again(explorer):
    def count(what):
        return sum(step.name == what for step in explorer.costs.steps)

    explorer.match('SiamMAE', 'b.mp4', (0, 4), (10.0, 10.0), SIZE)
    before = count('encode a frame, all layers')
    explorer.match('SiamMAE', 'b.mp4', (4, 0), (20.0, 20.0), SIZE, 0, 1)
    assert count('encode a frame, all layers') == before
    explorer.match('SiamMAE', 'b.mp4', (4, 0), (20.0, 20.0), SIZE + 16)
    assert count('encode a frame, all layers') == before + 2


def reference(explorer, name, regions, stop, clip='a.mp4'):
    """Label maps by the package's own propagation, which knows no corrections."""
    model = explorer.model(name)
    numbers = range(regions[0].frame, stop + 1)
    inputs = torch.stack([model.input_of(explorer.frame(clip, number), SIZE) for number in numbers])
    ids = np.zeros((48, 64), np.uint8)
    for region in regions:
        ids[region.mask(ids.shape)] = region.object
    labels = MaskLabels({0: ids}, inputs.shape[2:], ids.shape, model.encoder.protocol, ids=range(4))
    return [labels.decode(frame, soft).numpy() for frame, soft in model.encoder.propagate(inputs, labels)]


@pytest.mark.parametrize('name', ['DropMAE', 'SiamMAE'])
def test_propagation_is_that_of_the_package(explorer, name):
    regions = [BOX, Region(1, 2, (((40.0, 20.0), (60.0, 40.0)),))]
    found = list(explorer.propagate(name, 'a.mp4', regions, SIZE, 11))
    assert [frame for frame, _ in found] == list(range(1, 12))
    for (_, ids), expected in zip(found, reference(explorer, name, regions, 11)):
        np.testing.assert_array_equal(ids, expected)


def test_a_stopped_propagation_goes_on_as_if_it_had_not_stopped(explorer):
    """After more frames than the queue holds."""
    whole = dict(explorer.propagate('DropMAE', 'd.mkv', [BOX], SIZE, 16))
    other = Explorer(explorer.path('d.mkv'), [explorer.sources['DropMAE']], device='cpu')
    first = other.propagate('DropMAE', 'd.mkv', [BOX], SIZE, 16)
    parts = dict(next(first) for _ in range(12))
    first.close()  # as the button does
    parts |= dict(other.propagate('DropMAE', 'd.mkv', [BOX], SIZE, 16))
    assert list(parts) == list(whole) == list(range(1, 17))
    for frame, ids in whole.items():
        np.testing.assert_array_equal(parts[frame], ids)


def test_a_correction_changes_its_frame_and_what_follows(explorer):
    second = Region(1, 2, (((40.0, 20.0), (60.0, 40.0)),))
    before = dict(explorer.propagate('SiamMAE', 'e.mp4', [BOX, second], SIZE, 9))
    fix = Region(6, 1, (((16.0, 24.0), (40.0, 40.0)),))
    after = dict(explorer.propagate('SiamMAE', 'e.mp4', [BOX, second, fix], SIZE, 9))
    assert list(after) == [6, 7, 8, 9], 'frames before the correction are taken over'
    drawn = fix.mask((48, 64))
    np.testing.assert_array_equal(after[6] == 1, drawn)
    np.testing.assert_array_equal((after[6] == 2)[~drawn], (before[6] == 2)[~drawn])
    fresh = Explorer(explorer.path('e.mp4'), [explorer.sources['SiamMAE']], device='cpu')
    for frame, ids in fresh.propagate('SiamMAE', 'e.mp4', [BOX, second, fix], SIZE, 9):
        np.testing.assert_array_equal(ids, after.get(frame, before[frame]))


def test_nothing_drawn_is_said(explorer):
    with pytest.raises(ValueError, match='nothing is drawn'):
        list(explorer.propagate('SiamMAE', 'a.mp4', [], SIZE, 9))


@pytest.mark.parametrize('name', ['DropMAE', 'SiamMAE'])
def test_attention_is_that_of_the_pair_that_is_reconstructed(explorer, name):
    pair = explorer.hidden_patches(name, 'a.mp4', (1, 8), seed=5)
    sample = explorer.reconstruct(name, 'a.mp4', (1, 8), seed=5)
    patches = sample.mask.unfold(1, 8, 8).unfold(2, 8, 8).flatten(3).all(-1).flatten(1)
    assert torch.equal(pair.attention.hidden[0], patches)
    np.testing.assert_array_equal(pair.frames, sample.frames.permute(0, 2, 3, 1))
    hidden = int(pair.attention.hidden[0, 1].nonzero()[0])
    weights = pair.weights(hidden, -1, None)
    assert weights.shape == (2 if name == 'DropMAE' else 1, 4, 4)
    assert 0 < weights.sum() <= 1 + 1e-5
    heads = np.mean([pair.weights(hidden, -1, head) for head in range(3)], axis=0)
    np.testing.assert_allclose(heads, weights, atol=1e-6)
    row, column = divmod(hidden, 4)
    assert pair.patch_at((column + 0.5) / 4, (row + 0.5) / 4) == hidden
    row, column = divmod(int((~pair.attention.hidden[0, 1]).nonzero()[0]), 4)
    with pytest.raises(ValueError, match='this patch is visible'):
        pair.patch_at((column + 0.5) / 4, (row + 0.5) / 4)


@pytest.mark.parametrize('name', ['DropMAE', 'SiamMAE'])
def test_the_hidden_share_of_each_frame_can_be_chosen(explorer, name):
    model = explorer.model(name).model
    masking = model.masking
    sample = explorer.reconstruct(name, 'a.mp4', (1, 8), 0, (0.25, 0.5))
    assert sample.mask.float().mean((1, 2)).tolist() == [0.25, 0.5]
    assert model.masking is masking
    infer = ReconstructionInferencer(model, show_progress=False)
    again = infer(explorer.path('a.mp4'), [(1, 8)], seed=0, mask_ratio=(0.25, 0.5))['predictions']
    assert again['errors'] == [pytest.approx(float(sample.error))]
    with pytest.raises(ValueError, match='tokens would be visible'):
        explorer.hidden_patches(name, 'a.mp4', (1, 8), 0, (0.25, 0.99))
    with pytest.raises(ValueError, match='must come before'):
        explorer.reconstruct(name, 'a.mp4', (8, 1), 0)


def test_a_box_is_tracked_with_the_frozen_encoder(explorer):
    found = list(explorer.track('SiamMAE', 'a.mp4', (20.0, 12.0, 16.0, 16.0), 2, 6))
    assert [number for number, _, _ in found] == [2, 3, 4, 5, 6]
    assert found[0][1:] == ([20.0, 12.0, 16.0, 16.0], 1.0)
    assert all(0 <= score <= 1 for _, _, score in found)
    with pytest.raises(ValueError, match='box'):
        list(explorer.track('SiamMAE', 'a.mp4', (200.0, 12.0, 16.0, 16.0), 2, 6))


def test_an_encoder_has_no_decoder_to_show_and_a_trained_tracker_only_tracks(explorer, tmp_path):
    vit = dict(type='mmvidmae.PairMAEViT', arch=ARCH, img_size=32, patch_size=8)
    Config(dict(model=dict(type='mmvidmae.LabelPropagator', backbone=vit))).dump(tmp_path / 'frozen.py')
    explorer.add_model(ModelSource('frozen', str(tmp_path / 'frozen.py'), None))
    with pytest.raises(ValueError, match='frozen has only an encoder'):
        explorer.reconstruct('frozen', 'a.mp4', (0, 4), 0)
    state = {
        name: value
        for name, value in explorer.model('DropMAE').model.state_dict().items()
        if name.startswith('backbone.')
    }
    torch.save(state, tmp_path / 'encoder.pth')
    explorer.add_model(ModelSource('half', explorer.sources['DropMAE'].config, str(tmp_path / 'encoder.pth')))
    with pytest.raises(ValueError, match='its decoder is untrained'):
        explorer.hidden_patches('half', 'a.mp4', (0, 4), 0)

    tracker = dict(
        type='mmvidmae.DropTrack',
        template_size=32,
        search_size=64,
        backbone=dict(type='mmvidmae.OneStreamViT', arch=ARCH, patch_size=8, ce_loc=(), ce_keep_ratio=()),
        head=dict(type='mmvidmae.CenterHead', channels=8),
    )
    Config(dict(model=tracker)).dump(tmp_path / 'tracker.py')
    explorer.add_model(ModelSource('tracker', str(tmp_path / 'tracker.py'), None))
    with pytest.raises(ValueError, match='tracker is a trained tracker: it is for the view Track'):
        explorer.match('tracker', 'a.mp4', (0, 4), (1.0, 1.0), SIZE)
    assert len(list(explorer.track('tracker', 'a.mp4', (20.0, 12.0, 16.0, 16.0), 0, 2))) == 3


def test_what_is_not_there_is_said(explorer):
    with pytest.raises(ValueError, match='there is no clip'):
        explorer.frame('../a.mp4', 0)
    with pytest.raises(ValueError, match=r'a\.mp4 has frames 0 to 11, not 12'):
        explorer.frame('a.mp4', 12)
    with pytest.raises(ValueError, match='outside the frame'):
        explorer.match('SiamMAE', 'a.mp4', (0, 1), (64.0, 10.0), SIZE)
    with pytest.raises(ValueError, match='heads 0 to 2'):
        explorer.match('SiamMAE', 'a.mp4', (0, 1), (4.0, 10.0), SIZE, head=3)
    with pytest.raises(ValueError, match='layers -3 to 2'):
        explorer.match('SiamMAE', 'a.mp4', (0, 1), (4.0, 10.0), SIZE, layer=3)
    with pytest.raises(ValueError, match='there is no model'):
        explorer.model('DINO')


def test_a_model_that_does_not_fit_leaves_no_trace(explorer, tmp_path):
    source = ModelSource('wrong', explorer.sources['DropMAE'].config, str(tmp_path / 'wrong.pth'))
    torch.save({'backbone.cls_token': torch.zeros(1, 1, 7)}, source.checkpoint)
    with pytest.raises(ValueError, match='fit'):
        explorer.add_model(source)
    assert 'wrong' not in explorer.sources


def test_uploads_are_read_before_they_are_clips(explorer, tmp_path, write_video):
    (tmp_path / 'broken.mp4').write_bytes(b'no video')
    with pytest.raises(ValueError, match=r'broken\.mp4 cannot be read .*: upload another video'):
        explorer.add_clip(tmp_path / 'broken.mp4')
    (tmp_path / 'notes.txt').write_text('')
    with pytest.raises(ValueError, match=r'notes\.txt is no video'):
        explorer.add_clip(tmp_path / 'notes.txt')
    names = []
    for folder in ('x', 'y'):
        (tmp_path / folder).mkdir()
        names.append(explorer.add_clip(write_video(tmp_path / folder / 'new.mp4', 3)))
    assert names == ['uploaded/new.mp4', 'uploaded/new_2.mp4']
    assert explorer.length(names[1]) == 3


def test_folders_without_clips_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='no file or folder'):
        Explorer(tmp_path / 'nowhere')
    with pytest.raises(ValueError, match='no videos'):
        Explorer(tmp_path)


def test_models_of_a_command_line():
    small, dinov2, own, random = parse_models(
        [SIAMMAE, DINOV2, 'my.py', 'work/epoch_4.pth', SIAMMAE_MODEL, 'none'], 'dino.safetensors'
    )
    assert (small.name, small.config) == (SIAMMAE, SIAMMAE_MODEL)
    assert dinov2.checkpoint == 'dino.safetensors'
    assert own == ('my (epoch_4.pth)', 'my.py', 'work/epoch_4.pth')
    assert random.checkpoint is None
    with pytest.raises(ValueError, match=r'my\.py: give a CONFIG and a CHECKPOINT'):
        parse_models(['my.py'], '')


@pytest.mark.skipif(sys.platform != 'linux', reason='the peak of a step is read from /proc')
def test_costs_show_memory_that_is_free_again():
    costs = Costs()
    with costs.measure('large'):
        np.ones((96, 2**20)).sum()
    with costs.measure('small'):
        pass
    with costs.measure('outer'), costs.measure('inner'):
        np.ones((96, 2**20)).sum()
    large, small, inner, outer = costs.summary()
    assert min(inner.mebibytes, outer.mebibytes) > 700
    assert inner.cpu_seconds > outer.cpu_seconds, 'the time of a step inside another one counts once'
    if torch.cuda.is_available():
        pytest.skip('on a GPU its memory is measured')
    assert large.name == 'large (1 x)'
    assert large.mebibytes > 700
    assert small.mebibytes < 100
    assert large.cpu_seconds > small.cpu_seconds


def test_the_cache_drops_what_was_not_used_for_longest():
    cache = Cache(10)
    cache.get('a', lambda: 'a', lambda value: 4)
    cache.get('b', lambda: 'b', lambda value: 4)
    cache.get('a', lambda: 'again')
    cache.get('c', lambda: 'c', lambda value: 4)
    assert [key in cache for key in 'abc'] == [True, False, True]
    assert cache.get('huge', lambda: 'huge', lambda value: 11) == 'huge'
    assert 'huge' not in cache
