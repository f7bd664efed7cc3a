"""Exported files give what PyTorch gives, and say what a caller must know."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from samples import make_frames

from mmvidmae.apis import TrackingInferencer
from mmvidmae.deployment import OnnxTracker, export_model, read_onnx_metadata, read_program_metadata
from mmvidmae.models.backbones import PairMAEViT
from mmvidmae.models.propagation import LabelPropagator
from mmvidmae.models.segmentors import DropSeg, VideoSegmentation
from mmvidmae.models.selfsup import RVM, DropMAE
from mmvidmae.models.trackers import BAT, DropTrack, HIPTrack

ROOT = Path(__file__).parents[2]
CONFIG = """
model = dict(
    type='mmvidmae.DropTrack', template_size=32, search_size=64,
    backbone=dict(type='mmvidmae.OneStreamViT', arch={ARCH}, patch_size=8, ce_loc={ce_loc}, ce_keep_ratio={rates}),
    head=dict(type='mmvidmae.CenterHead', channels=8),
)
"""
ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
BOXES = [(10.0, 10.0, 16.0, 14.0), (30.0, 20.0, 12.0, 20.0)]


@pytest.fixture(scope='module')
def onnxruntime():
    for name in ('onnx', 'onnxscript'):
        pytest.importorskip(name)
    return pytest.importorskip('onnxruntime')


def make_tracker(ce_loc=(0,), type_=DropTrack, **backbone):
    torch.manual_seed(0)
    backbone = dict(type='mmvidmae.OneStreamViT', ce_loc=ce_loc, ce_keep_ratio=(0.6,) * len(ce_loc)) | backbone
    head = dict(type='mmvidmae.CenterHead', channels=8)
    backbone = dict(arch=ARCH, patch_size=8, **backbone)
    model = type_(backbone=backbone, head=head, template_size=32, search_size=64)
    for parameter in model.head.parameters():  # of the size that training gives
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def make_encoder(**backbone):
    torch.manual_seed(0)
    backbone = dict(arch=ARCH, img_size=32, patch_size=8) | backbone
    return DropMAE(backbone=backbone, neck=dict(decoder_dims=24, depth=1, num_heads=2)).eval()


def make_segmentor(**options):
    torch.manual_seed(0)
    small = dict(channels=(8, 8))
    return DropSeg(backbone=dict(arch=ARCH, img_size=32, patch_size=8), neck=small, decode_head=small, **options).eval()


def run_tool(*arguments):
    """Run a program in this process, as a new one takes seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [str(part) for part in arguments])
        runpy.run_path(str(ROOT / arguments[0]), run_name='__main__')


@pytest.fixture(scope='module', params=[(), (0,)], ids=['whole', 'elimination'])
def tracker(request, onnxruntime, tmp_path_factory):
    """A tracker, and the ONNX file that the program writes of its config and checkpoint."""
    model, folder = make_tracker(request.param), tmp_path_factory.mktemp('tracker')
    (folder / 'tiny.py').write_text(CONFIG.format(ARCH=ARCH, ce_loc=request.param, rates=(0.6,) * len(request.param)))
    torch.save(dict(state_dict=model.state_dict()), folder / 'tiny.pth')
    options = ['--int8'] if request.param else []
    run_tool('tools/deployment/export.py', folder / 'tiny.py', folder / 'tiny.pth', folder / 'tracker.onnx', *options)
    return model, folder / 'tracker.onnx'


@pytest.fixture(scope='module')
def encoder(onnxruntime, tmp_path_factory):
    """An encoder, and its ONNX file."""
    model = make_encoder()
    (file,) = export_model(model, tmp_path_factory.mktemp('encoder') / 'encoder.onnx')
    return model, file.path


class TestTracker:
    def test_boxes_of_several_targets_over_a_sequence(self, tracker):
        """Also with None, a lost frame."""
        model, path = tracker
        frames = [*make_frames(9)]
        frames[4] = None
        ours, theirs = (
            TrackingInferencer(of, show_progress=False)(frames, BOXES)['predictions'] for of in (model, str(path))
        )
        assert np.abs(np.subtract(ours['boxes_xywh'], theirs['boxes_xywh'])).max() < 0.1
        assert np.allclose(ours['scores'], theirs['scores'], atol=1e-4)
        assert np.ptp(theirs['boxes_xywh'], axis=0).max() > 1  # the boxes move

    def test_metadata(self, tracker):
        _, path = tracker
        metadata = read_onnx_metadata(path)
        assert metadata['kind'] == 'tracker'
        assert metadata['channel_order'] == 'RGB'
        assert (metadata['template_size'], metadata['search_size'], metadata['patch_size']) == (32, 64, 8)
        assert (metadata['template_factor'], metadata['search_factor'], metadata['margin']) == (2.0, 5.0, 10)
        assert metadata['score_map_size'] == metadata['window_size'] == [8, 8]
        assert metadata['window'] == 'hann'
        assert metadata['mean'] == pytest.approx([123.675, 116.28, 103.53])
        assert metadata['std'] == pytest.approx([58.395, 57.12, 57.375])

    def test_the_file_names_its_dimensions_and_no_file_of_this_machine(self, tracker, onnxruntime):
        _, path = tracker
        inputs = onnxruntime.InferenceSession(str(path)).get_inputs()
        assert {part.name: part.shape for part in inputs} == dict(
            template=['targets', 3, 32, 32], search=['targets', 3, 64, 64]
        )
        assert str(ROOT).encode() not in path.read_bytes()

    def test_sizes_of_intermediate_values_are_not_mixed_up(self, tracker, onnxruntime, capfd):
        """onnxruntime warns where a size differs from another of the same name."""
        session = onnxruntime.InferenceSession(str(tracker[1]))
        for number in (1, 3):
            crops = torch.randn(number, 3, 32, 32).numpy(), torch.randn(number, 3, 64, 64).numpy()
            session.run(None, dict(zip(('template', 'search'), crops)))
        assert 'Shape mismatch' not in capfd.readouterr().err

    def test_other_tools_run_it_as_a_tracker(self, tracker):
        model, path = tracker
        exported = OnnxTracker(path, 'cpu')
        crops = dict(img=torch.randn(1, 3, 32, 32), search_img=torch.randn(1, 3, 64, 64))
        boxes, scores = exported(crops)
        expected = model.locate(*crops.values())
        assert torch.allclose(boxes, expected[0], atol=1e-4)
        assert torch.allclose(scores, expected[1], atol=1e-4)
        with pytest.raises(RuntimeError, match='cannot be trained'):
            exported(crops, mode='loss')

    def test_int8(self, tracker, onnxruntime):
        model, path = tracker
        smaller = path.with_name('tracker_int8.onnx')
        if not smaller.exists():
            pytest.skip('written with elimination only')
        assert read_onnx_metadata(smaller) == read_onnx_metadata(path) | dict(quantization='int8')
        crops = torch.randn(3, 3, 32, 32), torch.randn(3, 3, 64, 64)
        scores, expected = OnnxTracker(smaller).locate(*crops)[1], model.locate(*crops)[1]
        assert 0 < (scores - expected).abs().max() < 0.1

    def test_two_modalities_as_a_program(self, tmp_path):
        model = make_tracker(type_=BAT, type='mmvidmae.TwoStreamViT', adapter_dims=4)
        (file,) = export_model(model, tmp_path / 'bat.pt2')
        assert file.difference < 1e-4
        assert read_program_metadata(file.path)['num_modalities'] == 2


class TestEncoder:
    @pytest.mark.parametrize('size', [(32, 32), (24, 56)])
    def test_any_size(self, encoder, onnxruntime, size):
        model, path = encoder
        image = torch.randn(2, 3, *size)
        session = onnxruntime.InferenceSession(str(path))
        (features,) = session.run(['features'], dict(image=image.numpy()))
        with torch.no_grad():
            assert np.abs(features - model.backbone(image)[-1].numpy()).max() < 1e-4
        assert session.get_inputs()[0].shape == ['images', 3, '8*rows', '8*columns']
        metadata = read_onnx_metadata(path)
        assert (metadata['kind'], metadata['channels'], metadata['image_size']) == ('encoder', [24], None)

    def test_a_program_runs_without_our_code(self, tmp_path):
        model = make_encoder()
        (file,) = export_model(model, tmp_path / 'encoder.pt2')
        image = torch.randn(1, 3, 40, 64)
        torch.save((image, model.backbone(image)[-1].detach()), tmp_path / 'expected.pt')
        code = (
            'import sys, torch\n'
            f'image, expected = torch.load({str(tmp_path / "expected.pt")!r})\n'
            f'found = torch.export.load({str(file.path)!r}).module()(image)\n'
            'assert (found - expected).abs().max() < 1e-4 and "mmvidmae" not in sys.modules'
        )
        subprocess.run([sys.executable, '-c', code], check=True, timeout=120)
        assert str(ROOT).encode() not in file.path.read_bytes()

    def test_a_recurrent_encoder_continues_a_video(self, tmp_path):
        backbone = dict(arch=ARCH, img_size=32, patch_size=8, core=dict(depth=1))
        model = RVM(backbone=backbone, neck=dict(decoder_dims=24, depth=1, num_heads=2)).eval()
        (file,) = export_model(model, tmp_path / 'rvm.pt2')
        program = torch.export.load(file.path).module()
        video = torch.randn(3, 3, 32, 48)
        with torch.no_grad():
            expected, state = model.backbone.forward_video(video)
            found, own = [], torch.zeros_like(state)
            for frame in video.split(1):
                features, own = program(frame, own)
                found.append(features)
        assert torch.allclose(torch.cat(found), expected, atol=1e-4)
        assert torch.allclose(own, state, atol=1e-4)

    def test_one_size_where_positions_have_none_of_onnx(self, tmp_path):
        model = make_encoder(pos_interp='dino')
        with pytest.raises(ValueError, match=r"pos_interp='dino' can be exported for one input size .*--size"):
            export_model(model, tmp_path / 'dino.pt2')
        (file,) = export_model(model, tmp_path / 'dino.pt2', (40, 48))
        assert read_program_metadata(file.path)['image_size'] == [40, 48]

    def test_an_encoder_of_a_toolbox_with_one_size(self, tmp_path):
        vit = dict(type='mmpretrain.VisionTransformer', arch=ARCH, img_size=32, patch_size=8, out_type='featmap')
        model = LabelPropagator(dict(vit, with_cls_token=True))
        with pytest.raises(ValueError, match=r'VisionTransformer can be exported for one input size only'):
            export_model(model, tmp_path / 'vit.pt2')
        (file,) = export_model(model, tmp_path / 'vit.pt2', (40, 48))
        assert file.metadata['channels'] == [24]


class TestSegmentor:
    def test_parts_make_the_step_of_a_video(self, tmp_path):
        model = make_segmentor()
        files = export_model(model, tmp_path / 'seg.pt2')
        assert [file.path.name for file in files] == ['seg_memory.pt2', 'seg_segment.pt2']

        def run(file, **inputs):
            return torch.export.load(file.path).module()(*inputs.values())

        first, second = torch.from_numpy(make_frames(2)).permute(0, 3, 1, 2)
        mask = torch.zeros(48, 64, dtype=torch.uint8)
        mask[4:20, 4:20], mask[24:40, 30:50] = 1, 2
        state = VideoSegmentation(model)
        masks = state.step_soft(first, mask)[1:]
        expected = state.step_soft(second)
        normalize = model.data_preprocessor.normalize
        memory = run(files[0], image=normalize(first)[None], masks=masks)
        found = run(files[1], image=normalize(second)[None], memory=memory)
        assert torch.allclose(found, expected, atol=1e-4)
        assert files[1].metadata['part'] == 'segment'
        assert files[1].metadata['patch_size'] == 8


class TestFaults:
    @pytest.mark.parametrize(
        ('make', 'options', 'message'),
        [
            (make_encoder, dict(path='x.pt'), r'the suffix must be \.onnx, or \.pt2'),
            (make_encoder, dict(path='x.onnx', opset=11), 'opset 11 is not supported: the lowest is 18'),
            (make_encoder, dict(path='x.onnx', opset=99), 'opset 99 is not supported: .* the highest 23'),
            (make_encoder, dict(path='x.pt2', int8=True), r'int8 is for \.onnx files only'),
            (make_encoder, dict(path='x.pt2', size=(30, 32)), '30 x 32 does not divide into patches of 8'),
            (make_tracker, dict(path='x.pt2', size=(64, 64)), 'DropTrack has fixed sizes'),
            (lambda: torch.nn.Linear(2, 2), dict(path='x.pt2'), 'Linear cannot be exported: it has no backbone'),
        ],
    )
    def test_what_cannot_be_exported(self, tmp_path, make, options, message):
        path = tmp_path / options.pop('path')
        with pytest.raises(ValueError, match=message):
            export_model(make(), path, **options)
        assert not [*tmp_path.iterdir()]

    def test_trackers_with_a_memory(self, tmp_path):
        model = HIPTrack.__new__(HIPTrack)  # its parts do not matter
        torch.nn.Module.__init__(model)
        with pytest.raises(ValueError, match='HIPTrack cannot be exported: it keeps more of a video'):
            export_model(model, tmp_path / 'x.pt2')

    def test_code_that_torch_cannot_trace(self, tmp_path):
        class Branching(PairMAEViT):
            def forward(self, x, masks=None):
                return super().forward(x if x.sum() > 0 else -x)

        model = make_encoder()
        model.backbone.__class__ = Branching
        with pytest.raises(ValueError, match=r'DropMAE cannot be exported by torch .*: '):
            export_model(model, tmp_path / 'x.pt2')

    @pytest.mark.parametrize('name', ['onnx', 'onnxscript', 'onnxruntime'])
    def test_a_missing_package(self, tmp_path, monkeypatch, name):
        for other in ('onnx', 'onnxscript', 'onnxruntime'):
            monkeypatch.setitem(sys.modules, other, sys)
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(
            ImportError, match=f'needs the package {name}: run `pip install onnx onnxscript onnxruntime`'
        ):
            export_model(make_encoder(), tmp_path / 'x.onnx')

    def test_files_that_are_no_exported_tracker(self, encoder, onnxruntime, tmp_path):
        onnx = pytest.importorskip('onnx')
        _, path = encoder
        with pytest.raises(ValueError, match='is an exported encoder, and no tracker'):
            OnnxTracker(path)
        graph = onnx.load(path)
        del graph.metadata_props[:]
        onnx.save(graph, tmp_path / 'foreign.onnx')
        with pytest.raises(ValueError, match=r'foreign\.onnx has no metadata of mmvidmae: export the model with'):
            OnnxTracker(tmp_path / 'foreign.onnx')
        onnx.helper.set_model_props(graph, dict(mmvidmae_format='2'))
        onnx.save(graph, tmp_path / 'newer.onnx')
        with pytest.raises(ValueError, match='metadata of version 2, this mmvidmae reads 1: update mmvidmae'):
            OnnxTracker(tmp_path / 'newer.onnx')
        (tmp_path / 'damaged.onnx').write_bytes(path.read_bytes()[:1000])
        with pytest.raises(ValueError, match=r'damaged\.onnx cannot be loaded by onnxruntime'):
            OnnxTracker(tmp_path / 'damaged.onnx')
        with pytest.raises(FileNotFoundError, match=r'missing\.onnx does not exist'):
            OnnxTracker(tmp_path / 'missing.onnx')
        with pytest.raises(ValueError, match=r'has no GPU|cannot be loaded|no metadata'):
            OnnxTracker(tmp_path / 'foreign.onnx', 'cuda')
        with pytest.raises(ValueError, match=r'holds its weights: leave the checkpoint x\.pth out'):
            TrackingInferencer(str(path), 'x.pth')

    def test_programs_without_metadata(self, tmp_path):
        (tmp_path / 'x.pt2').write_text('no archive')
        with pytest.raises(ValueError, match='cannot be read as a program'):
            read_program_metadata(tmp_path / 'x.pt2')
        torch.save({}, tmp_path / 'y.pt2')
        with pytest.raises(ValueError, match='no metadata of mmvidmae'):
            read_program_metadata(tmp_path / 'y.pt2')
        with pytest.raises(FileNotFoundError):
            read_program_metadata(tmp_path / 'z.pt2')


class TestPrograms:
    def test_track(self, tracker, tmp_path, write_video, capsys):
        _, path = tracker
        video = write_video(tmp_path / 'video.mp4', 5)
        boxes = [part for box in BOXES for part in ('--box', *box)]
        run_tool('tools/track.py', path, video, *boxes, '--out-dir', tmp_path, '--no-save-vis')
        assert capsys.readouterr().out.startswith('5 frames, mean score')
        assert len(json.loads((tmp_path / 'preds/video.json').read_text())['boxes_xywh'][0]) == 2

    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            ('tools/track.py no.onnx video.mp4 --box 1 1 8 8', 'track.py: error: no.onnx does not exist'),
            (
                'tools/track.py config.py video.mp4 --box 1 1 8 8',
                'track.py: error: the checkpoint of config.py is missing; only an .onnx file needs none',
            ),
            (
                'tools/deployment/export.py siammae_vit-small-p16_16xb64-amp-coslr-400e_k400 none x.onnx --opset 9',
                'export.py: error: opset 9 is not supported: the lowest is 18, the highest 23',
            ),
            ('tools/deployment/export.py missing.py none x.onnx', 'export.py: error: [Errno 2] No such file'),
        ],
    )
    def test_mistakes_take_one_line(self, tmp_path, monkeypatch, capsys, arguments, message):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit):
            run_tool(*arguments.split())
        assert capsys.readouterr().err.splitlines()[-1].startswith(message)
