"""Metrics of propagated masks, through MMEngine's evaluator and the files they write."""

import csv
import json
import zipfile

import numpy as np
import pytest
import torch.distributed
import torch.multiprocessing
from mmengine.evaluator import Evaluator
from PIL import Image
from propagation_samples import PROTOCOL, mask_sample, moving_objects, write_masks
from vos_benchmark.benchmark import VideoEvaluator

from mmvidmae.evaluation import PartSegmentationMetric, VideoSegmentationMetric
from mmvidmae.evaluation.functional import score_sequence, summarize_sequences
from mmvidmae.evaluation.metrics.video_metric import format_table


def evaluate(samples, metric, size=None, dataset_meta=None):
    """Results of a metric's config, one batch for each sample."""
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = dataset_meta
    for sample in samples:
        evaluator.process([sample])
    return evaluator.evaluate(len(samples) if size is None else size)


def vos(**options):
    return dict(type='mmvidmae.VideoSegmentationMetric', **options)


def parts(**options):
    return dict(type='mmvidmae.PartSegmentationMetric', **options)


@pytest.fixture
def videos(tmp_path):
    """Five videos of 1 to 3 objects with predictions that are more and more off."""
    samples = []
    for index in range(5):
        num_frames, objects = 6 + index, 1 + index % 3
        gt_paths = write_masks(tmp_path / 'gt' / f'video{index}', moving_objects(num_frames, objects=objects))
        pred = moving_objects(num_frames, objects=objects, shift=index)
        pred[3][pred[3] == objects] = 0  # the last object is lost for a frame
        samples.append(mask_sample(f'video{index}', pred, gt_paths))
    return samples


class TestVideoSegmentation:
    def test_by_hand(self, tmp_path):
        gt = np.zeros((4, 6, 8), dtype=np.uint8)
        gt[:, 1:3, 1:5] = 1  # 8 pixels
        pred = gt.copy()
        pred[1] = np.roll(gt[1], 2, axis=1)  # shares 4 of 12 pixels
        pred[[0, 3]] = 0  # not scored
        result = evaluate([mask_sample('a', pred, write_masks(tmp_path / 'a', gt))], vos())
        assert list(result) == [
            f'vos/{name}' for name in ('J&F-Mean', 'J-Mean', 'J-Recall', 'J-Decay', 'F-Mean', 'F-Recall', 'F-Decay')
        ]
        assert result['vos/J-Mean'] == pytest.approx(100 * (4 / 12 + 1) / 2)
        assert result['vos/J-Recall'] == 50.0
        assert result['vos/J&F-Mean'] == pytest.approx((result['vos/J-Mean'] + result['vos/F-Mean']) / 2)

    def test_same_as_the_functions_whatever_the_order(self, videos):
        sequences = [
            score_sequence(sample.pred_masks, np.stack([np.array(Image.open(path)) for path in sample.gt_paths]))
            for sample in videos
        ]
        expected = {f'vos/{name}': 100 * value for name, value in summarize_sequences(sequences).items()}
        assert 20 < expected['vos/J-Mean'] < 95
        assert evaluate(videos, vos()) == expected
        assert evaluate(videos[::-1], vos()) == expected

    def test_agrees_with_vos_benchmark_on_written_files(self, videos, tmp_path):
        out_dir = tmp_path / 'out'
        result = evaluate(videos, vos(out_dir=str(out_dir)))
        scores = json.loads((out_dir / 'vos_scores.json').read_text())
        peer = VideoEvaluator(str(tmp_path / 'gt'), str(out_dir))
        means = {'J': [], 'F': []}
        for sample in videos:
            _, region, boundary = peer(sample.video_name)
            for index in region:
                own = scores['per_object'][f'{sample.video_name}/{index}']
                assert own['J-Mean'] == pytest.approx(region[index], abs=1e-9)
                assert own['F-Mean'] == pytest.approx(boundary[index], abs=1e-9)
            means['J'] += region.values()
            means['F'] += boundary.values()
        assert len(means['J']) == 9
        for letter, values in means.items():
            assert result[f'vos/{letter}-Mean'] == pytest.approx(np.mean(values), abs=1e-9)

    def test_davis_2016_has_one_object(self, tmp_path):
        gt = moving_objects(6, objects=2)
        paths = write_masks(tmp_path / 'gt', np.where(gt > 0, 255, 0).astype(np.uint8), mode='L')
        pred = np.roll(gt, 2, axis=2)
        result = evaluate([mask_sample('a', pred, paths)], vos(merge_objects=True, out_dir=str(tmp_path / 'out')))
        expected = score_sequence((pred > 0).astype(np.uint8), (gt > 0).astype(np.uint8))
        assert result['vos/J-Mean'] == pytest.approx(100 * expected.region.mean())
        assert result['vos/F-Mean'] == pytest.approx(100 * expected.boundary.mean())
        assert np.unique(np.array(Image.open(tmp_path / 'out' / 'a' / '00002.png'))).tolist() == [0, 1]

    def test_parity_mode_resizes_ground_truth(self, tmp_path):
        gt = moving_objects(5)
        paths = write_masks(tmp_path / 'gt', gt)
        resized = np.stack([np.array(Image.fromarray(mask).resize((120, 60), Image.NEAREST)) for mask in gt])
        pred = np.roll(resized, 3, axis=2)
        result = evaluate([mask_sample('a', pred, paths, out_shape=(60, 120))], vos(gt_size=[60, 120]))
        assert result['vos/J-Mean'] == pytest.approx(100 * score_sequence(pred, resized).region.mean())

    @pytest.mark.parametrize(('gt_size', 'found'), [(None, '48x86'), ((64, 88), '64x88')])
    def test_other_sizes_are_refused(self, tmp_path, gt_size, found):
        sample = mask_sample('a', moving_objects(4, (60, 120)), write_masks(tmp_path / 'gt', moving_objects(4)))
        with pytest.raises(ValueError, match=f'video a: predicted masks are 60x120, but ground truth is {found}'):
            evaluate([sample], vos(gt_size=gt_size))

    def test_objects_that_appear_later_and_void_do_not_count(self, tmp_path):
        gt = moving_objects(5, objects=1)
        more = gt.copy()
        more[2:, 40:, 60:] = 2
        more[:, 30:34, 60:] = 255
        pred = moving_objects(5, objects=1, shift=2)
        plain = evaluate([mask_sample('a', pred, write_masks(tmp_path / 'plain', gt))], vos())
        assert evaluate([mask_sample('a', pred, write_masks(tmp_path / 'more', more))], vos()) == plain

    @pytest.mark.parametrize('wrong', [2, 255])
    def test_a_predicted_id_that_is_no_object_is_refused(self, tmp_path, wrong):
        pred = moving_objects(5, objects=1)
        pred[2, 40, 60] = wrong
        sample = mask_sample('bear', pred, write_masks(tmp_path / 'gt', moving_objects(5, objects=1)))
        with pytest.raises(ValueError, match=f'video bear: prediction has id {wrong} in frame 2'):
            evaluate([sample], vos())

    def test_objects_given_later_are_scored_after_that(self, tmp_path):
        """As in YouTube-VOS: object 7 is given in frame 2 of 7; frames 3 to 5 count for it, 1 to 5 for object 1."""
        gt = moving_objects(7)
        gt[gt == 2] = 7
        gt[:2][gt[:2] == 7] = 0
        pred = gt.copy()
        pred[4][pred[4] == 7] = 0
        sample = mask_sample('a', pred, write_masks(tmp_path / 'gt', gt), given=(0, 2))
        result = evaluate([sample], vos(out_dir=str(tmp_path / 'out')))
        assert result['vos/J-Mean'] == pytest.approx(100 * (1 + 2 / 3) / 2)
        objects = json.loads((tmp_path / 'out/vos_scores.json').read_text())['per_object']
        assert {name: row['frames'] for name, row in objects.items()} == {'a/1': 5, 'a/7': 3}

    def test_too_short_a_video_is_named(self, tmp_path):
        sample = mask_sample('a', moving_objects(2), write_masks(tmp_path / 'gt', moving_objects(2)))
        with pytest.raises(ValueError, match=r'video a: .*at least 3 frames'):
            evaluate([sample], vos())

    def test_frames_without_ground_truth_do_not_count(self, tmp_path):
        gt_paths = write_masks(tmp_path / 'gt', moving_objects(9))
        pred = moving_objects(9, shift=3)
        sparse = [path if frame % 2 == 0 else None for frame, path in enumerate(gt_paths)]
        expected = score_sequence(pred[::2], moving_objects(9)[::2])
        result = evaluate([mask_sample('a', pred, sparse)], vos(out_dir=str(tmp_path / 'out')))
        assert result['vos/F-Mean'] == pytest.approx(100 * expected.boundary.mean())
        assert len(list((tmp_path / 'out' / 'a').iterdir())) == 9

    def test_masks_of_another_form_are_refused(self, tmp_path):
        gt_paths = write_masks(tmp_path / 'gt', moving_objects(5))
        sample = mask_sample('a', moving_objects(5), gt_paths)
        sample.set_field(moving_objects(5).astype(np.int64), 'pred_masks')
        with pytest.raises(ValueError, match='video a: pred_masks must be uint8'):
            evaluate([sample], vos())


class TestFiles:
    def test_tables_and_how_they_were_made(self, videos, tmp_path):
        out_dir = tmp_path / 'out'
        result = evaluate(videos, vos(out_dir=str(out_dir), prefix='davis'))
        content = json.loads((out_dir / 'davis_scores.json').read_text())
        assert content['metric'] == 'VideoSegmentationMetric'
        assert content['protocol'] == PROTOCOL
        assert content['input_size'] == '480x880'
        assert content['options'] == dict(gt_size='native', merge_objects=False)
        assert {f'davis/{name}': value for name, value in content['scores'].items()} == result
        assert content['not_scored'] == []
        assert list(content['per_sequence']) == [f'video{index}' for index in range(5)]
        assert content['per_sequence']['video2']['objects'] == 3
        assert content['per_sequence']['video2']['frames'] == 6
        per_object = [content['per_object'][f'video2/{index}']['F-Mean'] for index in (1, 2, 3)]
        assert content['per_sequence']['video2']['F-Mean'] == pytest.approx(np.mean(per_object))
        for table in ('per_sequence', 'per_object'):
            with (out_dir / f'davis_{table}.csv').open(newline='') as file:
                rows = {row.pop(table.removeprefix('per_')): row for row in csv.DictReader(file)}
            assert {name: {key: float(value) for key, value in row.items()} for name, row in rows.items()} == (
                content[table]
            )
        assert len(list(out_dir.rglob('*'))) == 3 + 5 + sum(6 + index for index in range(5))

    def test_without_out_dir_nothing_is_written(self, videos, tmp_path, monkeypatch):
        (tmp_path / 'here').mkdir()
        monkeypatch.chdir(tmp_path / 'here')
        evaluate(videos, vos())
        assert list((tmp_path / 'here').iterdir()) == []

    def test_masks_are_there_as_soon_as_their_video_was_processed(self, videos, tmp_path):
        metric = VideoSegmentationMetric(out_dir=str(tmp_path / 'out'))
        metric.process({}, [videos[1].to_dict()])
        files = sorted((tmp_path / 'out').rglob('*.*'))
        assert [file.name for file in files] == [f'{frame:05d}.png' for frame in range(7)]
        assert np.array_equal(np.stack([np.array(Image.open(file)) for file in files]), videos[1].pred_masks)

    def test_tables_are_aligned(self):
        table = dict(bear={'frames': 9, 'J-Mean': 98.456}, surfing={'frames': 101, 'J-Mean': None})
        assert format_table('per_sequence', table).splitlines() == [
            'sequence  frames  J-Mean',
            'bear           9   98.46',
            'surfing      101       -',
        ]


class TestWithoutGroundTruth:
    def test_such_videos_are_written_and_do_not_count(self, videos, tmp_path):
        alone = evaluate(videos[:1], vos())
        for sample in videos[1:]:
            sample.gt_paths[1:] = [None] * (len(sample.gt_paths) - 1)
        assert evaluate(videos, vos(out_dir=str(tmp_path / 'out'))) == alone
        content = json.loads((tmp_path / 'out' / 'vos_scores.json').read_text())
        assert content['not_scored'] == ['video1', 'video2', 'video3', 'video4']
        assert (tmp_path / 'out' / 'video4' / '00009.png').is_file()

    @pytest.mark.parametrize('metric', [vos(), parts()])
    def test_none_at_all_is_an_error(self, videos, metric):
        for sample in videos:
            sample.gt_paths[1:] = [None] * (len(sample.gt_paths) - 1)
        with pytest.raises(ValueError, match='no video has ground truth beyond what is given; set format_only=True'):
            evaluate(videos, metric)

    @pytest.mark.parametrize(('server', 'folder'), [('davis', ''), ('youtube_vos', 'Annotations/')])
    def test_submission(self, videos, tmp_path, server, folder):
        for sample in videos:
            sample.gt_paths = [None] * len(sample.gt_paths)
        videos[1].reference_masks[4] = videos[1].pred_masks[4]  # an object that appears later
        out_dir = tmp_path / 'out'
        (out_dir / 'video0').mkdir(parents=True)
        (out_dir / 'video0' / 'left_over.png').write_bytes(b'')
        assert evaluate(videos, vos(out_dir=str(out_dir), format_only=True, submission=server)) == {}
        with zipfile.ZipFile(out_dir / 'vos_submission.zip') as archive:
            assert archive.testzip() is None
            assert sorted(archive.namelist()) == [
                f'{folder}{sample.video_name}/{name}.png' for sample in videos for name in sample.frame_names
            ]
            with archive.open(f'{folder}video2/00003.png') as file:
                image = Image.open(file)
                assert image.mode == 'P'
                assert np.array_equal(np.array(image), videos[2].pred_masks[3])
        content = json.loads((out_dir / 'vos_scores.json').read_text())
        assert content['protocol'] == PROTOCOL
        assert content['scores'] == {}
        assert len(content['not_scored']) == 5

    def test_a_missing_mask_spoils_the_submission(self, videos, tmp_path):
        metric = VideoSegmentationMetric(out_dir=str(tmp_path / 'out'), submission='davis')
        metric.process({}, [sample.to_dict() for sample in videos])
        (tmp_path / 'out' / 'video3' / '00002.png').unlink()
        with pytest.raises(FileNotFoundError, match=r'video3/00002\.png is missing, so no submission was packed'):
            metric.evaluate(5)
        assert not list((tmp_path / 'out').glob('*submission*'))

    def test_only_masks_of_the_frames_size_can_be_submitted(self, tmp_path):
        sample = mask_sample('a', moving_objects(4, (60, 120)), [None] * 4)
        with pytest.raises(
            ValueError, match='video a: masks of 60x120 pixels cannot be submitted, the frames have 48x86'
        ):
            evaluate([sample], vos(out_dir=str(tmp_path), format_only=True, submission='davis'))

    @pytest.mark.parametrize('options', [dict(format_only=True), dict(submission='davis')])
    def test_there_must_be_a_place(self, options):
        with pytest.raises(ValueError, match='set out_dir'):
            VideoSegmentationMetric(**options)

    def test_unknown_server(self, tmp_path):
        with pytest.raises(ValueError, match="submission='vip' is no known server: choose from davis, youtube_vos"):
            VideoSegmentationMetric(out_dir=str(tmp_path), submission='vip')


class TestOneRun:
    @pytest.mark.parametrize(
        'change', [dict(protocol=dict(PROTOCOL, topk=10)), dict(input_size='native, multiple of 16')]
    )
    def test_mixed_protocols_are_refused(self, videos, change):
        for key, value in change.items():
            videos[2].set_field(value, key, field_type='metainfo')
        with pytest.raises(ValueError, match=r'different settings.*video0 with .*video2 with'):
            evaluate(videos, vos())

    def test_every_video_once(self, videos):
        with pytest.raises(ValueError, match='has results of 5 videos, but the dataset has 6'):
            evaluate(videos, vos(), size=6)
        with pytest.raises(ValueError, match='has results of 4 videos, but the dataset has 5'):
            evaluate([*videos[:4], videos[0]], vos())

    def test_nothing_to_evaluate(self):
        with pytest.raises(ValueError, match='VideoSegmentationMetric has results of 0 videos, but the dataset has 30'):
            evaluate([], vos(), size=30)
        with pytest.raises(ValueError, match='PartSegmentationMetric has nothing to evaluate'):
            evaluate([], parts(), size=0)

    def test_a_metric_can_be_used_again(self, videos):
        metric = VideoSegmentationMetric()
        for samples in (videos[:2], videos[2:]):
            metric.process({}, [sample.to_dict() for sample in samples])
            assert metric.evaluate(len(samples)) == evaluate(samples, vos())


class TestPartSegmentation:
    def test_one_matrix_over_all_videos(self, tmp_path):
        gt = np.zeros((2, 2, 4), dtype=np.uint8)
        gt[:, :, 2:] = 1
        gt[1, 0, 0] = 255  # ignored
        first = gt.copy()
        first[1, 0, 0] = 0
        first[1, :, 2] = 0  # 2 pixels of class 1 are missed
        second = np.where(gt == 255, 0, gt)
        second[1, 1, 0] = 2  # a class that is only predicted
        samples = [
            mask_sample('a', first, write_masks(tmp_path / 'a', gt, mode='L')),
            mask_sample('b', second, write_masks(tmp_path / 'b', gt, mode='L')),
        ]
        out_dir = tmp_path / 'out'
        meta = dict(classes=('background', 'hat', 'hair', 'gloves'))
        result = evaluate(samples, parts(num_classes=4, out_dir=str(out_dir)), dataset_meta=meta)
        # class 0: 13 of 14 right, 2 wrongly; class 1: 14 of 16; class 2: only predicted; class 3: nowhere
        iou = 13 / 16, 14 / 16, 0.0
        assert result == {
            'parts/mIoU': pytest.approx(100 * np.mean(iou)),
            'parts/mean_accuracy': pytest.approx(100 * (13 / 14 + 14 / 16) / 2),
            'parts/overall_accuracy': pytest.approx(100 * 27 / 30),
            'parts/frequency_weighted_IoU': pytest.approx(100 * (14 * iou[0] + 16 * iou[1]) / 30),
        }
        content = json.loads((out_dir / 'parts_scores.json').read_text())
        assert content['options'] == dict(num_classes=4, score_first_frame=True)
        assert content['per_class'] == dict(
            background=dict(IoU=pytest.approx(100 * iou[0]), pixels=14),
            hat=dict(IoU=pytest.approx(100 * iou[1]), pixels=16),
            hair=dict(IoU=0.0, pixels=0),
            gloves=dict(IoU=None, pixels=0),
        )
        assert content['per_sequence']['a'] == dict(
            frames=2, mIoU=pytest.approx(100 * (7 / 9 + 6 / 8) / 2), overall_accuracy=pytest.approx(100 * 13 / 15)
        )
        assert (out_dir / 'parts_per_class.csv').read_text().splitlines()[-1] == 'gloves,,0'
        assert np.array_equal(np.array(Image.open(out_dir / 'b' / '00001.png')), second[1])

    def test_first_frame_counts_unless_told_otherwise(self, tmp_path):
        gt = moving_objects(3)
        pred = gt.copy()
        pred[0] = 0
        sample = mask_sample('a', pred, write_masks(tmp_path / 'gt', gt, mode='L'))
        assert evaluate([sample], parts())['parts/mIoU'] < 90
        assert evaluate([sample], parts(score_first_frame=False))['parts/mIoU'] == 100

    def test_masks_are_resized_to_the_ground_truth(self, tmp_path):
        gt = moving_objects(3)
        pred = gt.repeat(2, axis=1).repeat(2, axis=2)
        sample = mask_sample('a', pred, write_masks(tmp_path / 'gt', gt, mode='L'))
        assert evaluate([sample], parts())['parts/mIoU'] == 100

    def test_an_id_that_is_no_class_is_named(self, tmp_path):
        pred = moving_objects(3)
        pred[1, 0, 0] = 20
        sample = mask_sample('v', pred, write_masks(tmp_path / 'gt', moving_objects(3), mode='L'))
        with pytest.raises(ValueError, match=r'video v: frame 00001: .*20'):
            evaluate([sample], parts())

    def test_a_video_of_ignored_pixels_has_no_score(self, tmp_path):
        gt = moving_objects(3)
        samples = [
            mask_sample('a', gt, write_masks(tmp_path / 'a', gt, mode='L')),
            mask_sample('b', gt, write_masks(tmp_path / 'b', np.full_like(gt, 255), mode='L')),
        ]
        assert evaluate(samples, parts(out_dir=str(tmp_path / 'out')))['parts/mIoU'] == 100
        content = json.loads((tmp_path / 'out' / 'parts_scores.json').read_text())
        assert content['per_sequence']['b'] == dict(frames=3, mIoU=None, overall_accuracy=None)

    def test_class_names_must_fit(self, tmp_path):
        gt = moving_objects(3)
        sample = mask_sample('a', gt, write_masks(tmp_path / 'gt', gt, mode='L'))
        with pytest.raises(ValueError, match='the dataset names 2 classes, but 20 were scored'):
            evaluate([sample], parts(), dataset_meta=dict(classes=('background', 'hat')))


def evaluate_on_rank(rank, folder, samples, metric_class, options):
    """What each of two processes does; its result or its error goes to a file."""
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=2)
    metric = metric_class(**options)
    padded = [*samples, samples[0]] if len(samples) % 2 else samples  # as MMEngine's sampler pads
    metric.process({}, [sample.to_dict() for sample in padded[rank::2]])
    try:
        outcome = metric.evaluate(len(samples))
    except ValueError as error:
        outcome = str(error)
    (folder / f'outcome{rank}.json').write_text(json.dumps(outcome))
    torch.distributed.destroy_process_group()


class TestTwoRanks:
    @pytest.mark.parametrize('metric_class', [VideoSegmentationMetric, PartSegmentationMetric])
    def test_same_numbers_and_files_as_one_process(self, videos, tmp_path, metric_class):
        options = dict(submission='davis') if metric_class is VideoSegmentationMetric else {}
        one = metric_class(out_dir=str(tmp_path / 'one'), **options)
        one.process({}, [sample.to_dict() for sample in videos])
        expected = one.evaluate(5)
        arguments = (tmp_path, videos, metric_class, dict(options, out_dir=str(tmp_path / 'two')))
        torch.multiprocessing.spawn(evaluate_on_rank, arguments, nprocs=2)
        for rank in (0, 1):
            assert json.loads((tmp_path / f'outcome{rank}.json').read_text()) == expected
        files = {path.relative_to(tmp_path / 'one') for path in (tmp_path / 'one').rglob('*') if path.is_file()}
        assert files == {path.relative_to(tmp_path / 'two') for path in (tmp_path / 'two').rglob('*') if path.is_file()}
        for file in files:
            if file.suffix != '.zip':  # which knows when its files were written
                assert (tmp_path / 'one' / file).read_bytes() == (tmp_path / 'two' / file).read_bytes()
        if options:
            with zipfile.ZipFile(tmp_path / 'two' / 'vos_submission.zip') as archive:
                assert len(archive.namelist()) == sum(len(sample.frame_names) for sample in videos)

    def test_both_stop_if_something_is_wrong(self, videos, tmp_path):
        videos[3].set_field(dict(PROTOCOL, topk=10), 'protocol', field_type='metainfo')
        torch.multiprocessing.spawn(evaluate_on_rank, (tmp_path, videos, VideoSegmentationMetric, {}), nprocs=2)
        for rank in (0, 1):
            assert 'different settings' in json.loads((tmp_path / f'outcome{rank}.json').read_text())
