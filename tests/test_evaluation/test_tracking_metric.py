"""TrackingMetric through MMEngine's evaluator: scores by hand, files, submissions, order of frames."""

import csv
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData

import mmvidmae.evaluation  # noqa: F401
from mmvidmae.evaluation.functional.tracking import pysot_ope


def frames(name: str, pred, gt, visible=None, folder: str = 'img', seconds: float = 0.5) -> list[dict]:
    """Samples of a video as mmtrack's test loop gives them; boxes are x, y, w, h."""
    pred, gt = (np.asarray(boxes, float) for boxes in (pred, gt))
    samples = []
    for number, box in enumerate(pred):
        instance = dict(bbox_label=0)
        if number < len(gt):
            instance['bbox'] = np.concatenate((gt[number, :2], gt[number, :2] + gt[number, 2:]))
        if visible is not None:
            instance['visible'] = bool(visible[number])
        corners = torch.tensor([[*box[:2], *(box[:2] + box[2:])]])
        samples.append(
            dict(
                frame_id=number,
                video_length=len(pred),
                img_path=f'/data/{name}/{folder}/{number:05d}.jpg' if folder else f'/data/{name}/{number:05d}.jpg',
                ori_shape=(100, 200),
                instances=[instance],
                pred_track_instances=InstanceData(
                    bboxes=corners, scores=torch.ones(1), seconds=torch.tensor([seconds])
                ),
            )
        )
    return samples


def evaluate(videos, dataset_meta=None, **options) -> dict[str, float]:
    evaluator = Evaluator(dict(type='mmvidmae.TrackingMetric', **options))
    evaluator.dataset_meta = dataset_meta
    for sample in (sample for video in videos for sample in video):
        evaluator.process([sample])
    return evaluator.evaluate(sum(map(len, videos)))


BOX = [10.0, 10.0, 20.0, 10.0]
HALF = [10.0, 10.0, 10.0, 10.0]  # overlap 0.5 with BOX, centers 5 pixels apart
FAR = [150.0, 80.0, 20.0, 10.0]


def test_success_and_precision_by_hand():
    """21 thresholds 0, 0.05, ..., 1 of overlap, passed by what is larger; frame 0 counts, as in PyTracking."""
    result = evaluate([frames('v', [BOX, HALF, FAR, BOX], [BOX] * 4)])
    # overlaps 1, .5, 0, 1: over 0 to .95 passed by 20, 10, 0, 20 of the 21 thresholds
    assert result['sot/success'] == pytest.approx(100 * (20 + 10 + 0 + 20) / 4 / 21)
    assert result['sot/precision'] == pytest.approx(75)
    assert result['sot/OP50'] == pytest.approx(50)
    assert result['sot/OP75'] == pytest.approx(50)


def test_videos_weigh_the_same_and_the_worst_comes_first(tmp_path):
    perfect, lost = frames('good', [BOX] * 6, [BOX] * 6), frames('bad', [BOX, FAR], [BOX, BOX])
    result = evaluate([perfect, lost], out_dir=str(tmp_path))
    assert result['sot/precision'] == pytest.approx((100 + 50) / 2)
    told = json.loads((tmp_path / 'sot_scores.json').read_text())
    assert list(told['per_sequence']) == ['bad', 'good']
    rows = list(csv.reader((tmp_path / 'sot_per_sequence.csv').open()))
    assert [row[0] for row in rows[1:3]] == ['bad', 'good']
    assert np.loadtxt(tmp_path / 'bad.txt', delimiter=',').tolist() == [BOX, FAR]


def test_hidden_targets():
    video = frames('v', [BOX, FAR, BOX, BOX], [BOX] * 4, visible=[True, False, True, True])
    assert evaluate([video])['sot/precision'] == pytest.approx(75), 'visibility is not asked for'
    assert evaluate([video], use_visibility=True)['sot/precision'] == pytest.approx(75), 'a failure in PyTracking'
    assert evaluate([video], use_visibility=True, exclude_invalid=True)['sot/precision'] == pytest.approx(100)
    missing = frames('v', [BOX] * 3, [BOX, [np.nan] * 4, BOX])
    assert evaluate([missing], exclude_invalid=True)['sot/success'] == pytest.approx(100 * 20 / 21)


def test_got10k_averages_frames():
    """The first frame and covered ones do not count; frames of all videos have the same weight."""
    first = frames('a', [FAR, BOX, HALF, FAR], [BOX] * 4, visible=[True, True, True, False])
    second = frames('b', [BOX, BOX], [BOX] * 2, visible=[True, True])
    result = evaluate([first, second], protocol='got10k')
    assert result['sot/AO'] == pytest.approx(100 * (1 + 0.5 + 1) / 3)
    assert result['sot/SR50'] == pytest.approx(100 * 2 / 3)
    assert result['sot/SR75'] == pytest.approx(100 * 2 / 3)


def test_submissions(tmp_path):
    videos = [frames(name, [BOX, HALF, FAR], [BOX], folder='') for name in ('GOT-10k_Test_000001', 'b')]
    assert evaluate(videos, submission='got10k', out_dir=str(tmp_path / 'got')) == {}
    with zipfile.ZipFile(tmp_path / 'got/sot_submission.zip') as archive:
        assert sorted(archive.namelist())[:2] == [
            'GOT-10k_Test_000001/GOT-10k_Test_000001_001.txt',
            'GOT-10k_Test_000001/GOT-10k_Test_000001_time.txt',
        ]
        rows = archive.read('b/b_001.txt').decode().splitlines()
        assert [[float(value) for value in row.split(',')] for row in rows] == [BOX, HALF, FAR]
        assert [float(row) for row in archive.read('b/b_time.txt').split()] == [0.5] * 3
    evaluate(videos, submission='trackingnet', out_dir=str(tmp_path / 'net'))
    with zipfile.ZipFile(tmp_path / 'net/sot_submission.zip') as archive:
        assert sorted(archive.namelist()) == ['GOT-10k_Test_000001.txt', 'b.txt']


def test_polygons_become_upright_boxes():
    video = frames('v', [BOX, BOX], [BOX, BOX])
    video[1]['instances'][0]['bbox'] = np.array([10, 10, 30, 10, 30, 20, 10, 20.0])
    assert evaluate([video])['sot/precision'] == 100


def test_lasher_counts_frames_without_a_target_as_precise_but_not_as_successful():
    """A target at the border counts as absent, and predictions are rounded: by hand over 21 thresholds."""
    border = [0.0, 10.0, 20.0, 10.0]
    gt = [BOX, BOX, border, [np.nan] * 4]
    result = evaluate([frames('v', [FAR, [10.4, 9.6, 20.3, 10.2], border, BOX], gt)], protocol='lasher')
    assert result == {'sot/PR': 100, 'sot/NPR': 100, 'sot/SR': pytest.approx(100 * 40 / 84)}
    far = evaluate([frames('v', [BOX, FAR, [5.0, 5.0, 0.0, 3.0], BOX], [BOX] * 4)], protocol='lasher')
    assert far == {'sot/PR': 50, 'sot/NPR': 50, 'sot/SR': pytest.approx(100 * 40 / 84)}  # an empty box repeats FAR


def test_rgbt234_takes_the_better_of_two_annotations():
    video = frames('v', [BOX, FAR], [BOX, BOX])
    with pytest.raises(ValueError, match=r"/data/v/img/00000.jpg: protocol='rgbt234' needs the box .* no thermal_bbox"):
        evaluate([video], protocol='rgbt234')
    for sample, box in zip(video, (FAR, FAR)):
        sample['instances'][0]['thermal_bbox'] = np.array([*box[:2], box[0] + box[2], box[1] + box[3]])
    result = evaluate([video], protocol='rgbt234')
    assert result == {'sot/MPR': 100, 'sot/MSR': pytest.approx(100 * 20 / 21)}


def test_scores_of_attributes(tmp_path):
    videos = [frames(name, [BOX, end, end], [BOX] * 3) for name, end in (('a', BOX), ('b', FAR), ('c', FAR))]
    attributes = dict(SC=['a', 'b'], TC=['c'], LI=[])
    for number, video in enumerate(videos):
        for sample in video:
            sample['video_id'] = number
    meta = dict(sequences=['a', 'b', 'c'], attributes=attributes)
    evaluate(videos, meta, protocol='lasher', out_dir=str(tmp_path))
    rows = {row.pop('attribute'): row for row in csv.DictReader((tmp_path / 'sot_per_attribute.csv').open())}
    first = 100 / 3  # the first frame alone
    assert {name: (row['videos'], float(row['PR'])) for name, row in rows.items()} == {
        'SC': ('2', pytest.approx((100 + first) / 2, abs=0.01)),
        'TC': ('1', pytest.approx(first, abs=0.01)),
    }


def test_several_targets_in_a_folder(tmp_path):
    videos = [frames('Jogging', [BOX, BOX], [BOX, BOX]), frames('Jogging', [BOX, FAR], [BOX, BOX])]
    with pytest.raises(ValueError, match=r'2 frames, but the dataset has 4: .* have a name of its own'):
        evaluate(videos)
    for number, video in enumerate(videos):
        for sample in video:
            sample['video_id'] = number
    assert evaluate(videos, numbered=True, out_dir=str(tmp_path))['sot/precision'] == 75
    assert sorted(path.name for path in tmp_path.glob('J*')) == ['Jogging-0.txt', 'Jogging-1.txt']


@pytest.mark.parametrize(
    ('paths', 'numbered', 'names'),
    [
        (('a/images', 'b/images'), False, ['a.txt', 'b.txt']),
        (('a/1', 'b/1', 'b/2'), False, ['1.txt', '2.txt', 'b/1.txt']),
        (('Jogging/img', 'Jogging/img'), False, ['Jogging-1.txt', 'Jogging.txt']),
        (('Jogging/img', 'Jogging/img'), True, ['Jogging-0.txt', 'Jogging-1.txt']),
    ],
)
def test_videos_of_one_name_are_told_apart(tmp_path, paths, numbered, names):
    boxes = [[BOX, np.add(BOX, number)] for number in range(len(paths))]
    videos = [frames(path, pred, [BOX, BOX], folder='') for path, pred in zip(paths, boxes)]
    for number, video in enumerate(videos):
        for sample in video:
            sample['video_id'] = number
    evaluate(videos, out_dir=str(tmp_path), numbered=numbered)
    found = sorted(tmp_path.rglob('*.txt'))
    assert [path.relative_to(tmp_path).as_posix() for path in found] == names
    written = [np.loadtxt(path, delimiter=',').tolist() for path in found]
    assert sorted(written) == sorted([list(map(list, pred)) for pred in boxes])
    assert len(json.loads((tmp_path / 'sot_scores.json').read_text())['per_sequence']) == len(paths)


def test_names_of_the_data_set(tmp_path):
    videos = [frames(name, [BOX, BOX], [BOX, BOX], folder='') for name in ('x', 'y')]
    for number, video in enumerate(videos):
        for sample in video:
            sample['video_id'] = number
    evaluate(videos, dataset_meta=dict(sequences=['p/1', 'q/1']), out_dir=str(tmp_path))
    assert sorted(json.loads((tmp_path / 'sot_scores.json').read_text())['per_sequence']) == ['p/1', 'q/1']
    assert (tmp_path / 'q/1.txt').exists()


def test_got10k_clips_each_frame_at_its_own_size():
    """The box is cut at 100 pixels in the first scored frame and not in the second, larger one."""
    wide = [50.0, 10.0, 100.0, 10.0]
    video = frames('v', [wide] * 3, [wide, [50.0, 10.0, 50.0, 10.0], [50.0, 10.0, 50.0, 10.0]])
    for sample, size in zip(video, ((100, 200), (100, 100), (100, 200))):
        sample['ori_shape'] = size
    assert evaluate([video], protocol='got10k')['sot/AO'] == pytest.approx(100 * (1 + 0.5) / 2)


def test_pysot_asks_for_a_positive_size_only():
    """A target whose corner is left of or above the frame has a box like any other."""
    gt = np.array([[-10.0, 5, 20, 10], [5, 0, 20, 10], [5, 5, 0, 10], [5, 5, 20, 10]])
    curves = pysot_ope(gt, gt)
    assert curves.success[:-1].tolist() == [0.75] * 20


def test_frames_out_of_order_are_named():
    video = frames('v', [BOX] * 3, [BOX] * 3)
    with pytest.raises(ValueError, match=r'00002\.jpg: frame 2 came where frame 1 .* use mmtrack\.VideoSampler'):
        evaluate([[video[0], video[2]]])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(protocol='vot'), "protocol must be one of ope, got10k, lasher, rgbt234, got 'vot'"),
        (dict(submission='lasot', out_dir='x'), "submission='lasot' is no known server"),
        (dict(submission='got10k'), 'set out_dir'),
    ],
)
def test_options_that_do_not_exist(options, message):
    with pytest.raises(ValueError, match=message):
        evaluate([], **options)


def test_nothing_to_score_and_nowhere_to_write():
    with pytest.raises(ValueError, match='set out_dir to write the boxes down'):
        evaluate([frames('v', [BOX] * 2, [BOX])])
    evaluator = Evaluator(dict(type='mmvidmae.TrackingMetric'))
    evaluator.dataset_meta = dict(has_ground_truth=False)
    with pytest.raises(ValueError, match='set out_dir to write the boxes down'):  # before the work
        evaluator.process(frames('v', [BOX] * 2, [BOX])[:1])


def _rank(rank: int, root: str) -> None:
    torch.distributed.init_process_group('gloo', init_method=f'file://{root}/store', rank=rank, world_size=2)
    evaluator = Evaluator(dict(type='mmvidmae.TrackingMetric', out_dir=f'{root}/out'))
    videos = _videos()
    mine = videos[:2] if rank == 0 else videos[2:]
    for sample in (sample for video in mine for sample in video):
        evaluator.process([sample])
    result = evaluator.evaluate(sum(map(len, videos)))
    if rank == 0:
        Path(root, 'result.json').write_text(json.dumps(result))
    torch.distributed.destroy_process_group()  # or its threads can abort a process that ends


def _videos() -> list[list[dict]]:
    rng = np.random.default_rng(0)
    return [frames(f'v{index}', [BOX, *rng.uniform(5, 25, (3 + index, 4))], [BOX] * (4 + index)) for index in range(3)]


def test_two_processes_give_the_scores_of_one(tmp_path):
    torch.multiprocessing.spawn(_rank, (str(tmp_path),), nprocs=2)
    assert json.loads((tmp_path / 'result.json').read_text()) == evaluate(_videos())
    assert sorted(path.name for path in (tmp_path / 'out').glob('v*.txt')) == ['v0.txt', 'v1.txt', 'v2.txt']
