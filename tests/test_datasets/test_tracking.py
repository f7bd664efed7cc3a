"""Tracking data: annotation files, pairs, crops, and the sequences of each data set's layout."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from mmvidmae.datasets import LoadPicture, SampleIndex, VideoReadError
from mmvidmae.datasets.tracking import CausalPairSampling, ClipSampling, OSTrackCrop, read_boxes, read_flags
from mmvidmae.registry import DATA_SAMPLERS, DATASETS

pytest.importorskip('mmdet')
import mmvidmae.compat.mmtrack.enabled  # noqa: F401


class TestAnnotations:
    @pytest.mark.parametrize('separator', [',', '\t', ' ', ', '])
    def test_separators(self, tmp_path, separator):
        path = tmp_path / 'boxes.txt'
        path.write_text('\n'.join(separator.join(row) for row in (('1', '2', '3.5', '4'), ('5', '6', '7', '8'))) + '\n')
        assert read_boxes(path).tolist() == [[1, 2, 3.5, 4], [5, 6, 7, 8]]
        assert read_boxes(path, one_based=True)[0].tolist() == [0, 1, 3.5, 4]

    def test_polygons_and_frames_without_target(self, tmp_path):
        path = tmp_path / 'boxes.txt'
        path.write_text('5,1,9,4,6,8,2,5\nnan,nan,nan,nan\n3,3,0,5\n-4,2,6,6\n\n')
        boxes = read_boxes(path)
        assert boxes[0].tolist() == [2, 1, 7, 7]
        assert np.isnan(boxes[1:3]).all()
        assert boxes[3].tolist() == [-4, 2, 6, 6], 'a box may begin outside of the frame'

    @pytest.mark.parametrize(
        ('text', 'message'),
        [
            ('1,2,3,4\n1,2,3\n', r"boxes\.txt, line 2: '1,2,3' is neither x,y,w,h nor a polygon"),
            ('1,2,3,x\n', r'boxes\.txt, line 1'),
            ('\n', r'boxes\.txt: the file is empty'),
            (None, r'boxes\.txt: No such file'),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path, text, message):
        path = tmp_path / 'boxes.txt'
        if text is not None:
            path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_boxes(path)

    def test_a_byte_order_mark_and_windows_line_ends(self, tmp_path):
        (tmp_path / 'a.txt').write_bytes(b'\xef\xbb\xbf1,2,3,4\r\n5,6,7,8\r\n')
        assert read_boxes(tmp_path / 'a.txt').tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
        (tmp_path / 'flags.txt').write_bytes(b'\xef\xbb\xbf0,1')
        assert read_flags(tmp_path / 'flags.txt').tolist() == [0, 1]
        (tmp_path / 'b.txt').write_bytes('1,2,3,4'.encode('utf-16'))
        with pytest.raises(ValueError, match=r'b\.txt: not a text file in UTF-8'):
            read_boxes(tmp_path / 'b.txt')

    def test_lines_of_vatic(self, tmp_path):
        (tmp_path / 'a.txt').write_text('0 10 20 40 60 1 0 0 0 "person"\n0 11 20.5 40 60 2 0 0 1 "a red car"\n')
        assert read_boxes(tmp_path / 'a.txt').tolist() == [[10, 20, 30, 40], [11, 20.5, 29, 39.5]]

    def test_flags(self, tmp_path):
        for text in ('0,1,1', '0\n1\n1\n', '0 1 1'):
            (tmp_path / 'flags').write_text(text)
            assert read_flags(tmp_path / 'flags').tolist() == [0, 1, 1]
        (tmp_path / 'flags').write_text('0,yes')
        with pytest.raises(ValueError, match='flags: expected whole numbers'):
            read_flags(tmp_path / 'flags')


def video(length: int, hidden=(), size: int = 10) -> dict:
    visible = np.ones(length, bool)
    visible[list(hidden)] = False
    boxes = np.tile(np.array([5.0, 5, 5 + size, 5 + size]), (length, 1)) + np.arange(length)[:, None]
    return dict(
        img_paths=[f'{i}.jpg' for i in range(length)],
        frame_ids=np.arange(length),
        video_id=3,
        bboxes=boxes,
        visible=visible,
        bboxes_isvalid=np.ones(length, bool),
    )


class TestCausalPairs:
    def test_search_follows_the_template(self):
        random.seed(0)
        hidden = range(20, 60)
        gaps = []
        for _ in range(500):
            pair = CausalPairSampling(max_gap=30)([video(120, hidden)])
            template, search = pair['frame_id']
            assert template < search
            assert not set(hidden) & {template, search}
            boxes = [instances[0]['bbox'] for instances in pair['instances']]
            assert [box[0] for box in boxes] == [5 + template, 5 + search]
            assert pair['img_path'] == [f'{template}.jpg', f'{search}.jpg']
            assert pair['video_id'] == [3, 3]
            gaps.append((template, search - template))
        assert max(gap for template, gap in gaps if template >= 60) == 29, 'the largest that OSTrack draws'

    def test_the_gap_widens_where_it_must(self):
        random.seed(0)
        rare = video(200, hidden=[i for i in range(200) if i % 40])
        first, second = CausalPairSampling(max_gap=30)([rare])['frame_id']
        assert first % 40 == second % 40 == 0
        assert first < second

    def test_still_images_and_short_videos(self):
        sampling = CausalPairSampling()
        assert sampling([video(1)])['frame_id'] == [0, 0]
        assert sampling([video(1, hidden=[0])]) is None
        assert sampling([video(19)]) is None, 'fewer than 20 frames'
        assert sampling([video(40, hidden=range(4, 40))]) is None, 'fewer than 5 frames with a target'

    def test_further_templates_come_before_the_search_frame(self):
        random.seed(0)
        sampling = CausalPairSampling(max_gap=30, num_templates=3)
        half = video(120, hidden=range(1, 120, 2))
        drawn = np.array([sampling([half])['frame_id'] for _ in range(300)])
        assert not (drawn % 2).any()
        assert (np.diff(drawn[:, :3], axis=1) >= 0).all()
        assert (drawn[:, 3] > drawn[:, 2]).all()
        for gaps in (drawn[:, 3] - drawn[:, 2], drawn[:, 2] - drawn[:, 0]):
            assert 20 < gaps.max() < 40  # 30, and 5 more after a first frame, which has no earlier one
        assert len(np.unique(drawn[:, 0])) > 30
        assert sampling([video(1)])['frame_id'] == [0] * 4
        assert sampling([video(40, hidden=range(8, 40))]) is None  # 5, and 4 for two further templates
        assert len(ClipSampling(num_search=2, num_templates=2)([video(60)])['frame_id']) == 4


class TestCrops:
    def pair(self, box=(40, 30, 60, 46)):
        rng = np.random.default_rng(0)
        images = [rng.integers(0, 60, (72, 96, 3), dtype=np.uint8) for _ in range(2)]
        for image in images:
            image[box[1] : box[3], box[0] : box[2]] = 250
        return dict(img=images, gt_bboxes=[np.array([box], np.float32)] * 2)

    def test_box_stays_on_the_target(self):
        random.seed(0)
        crop = OSTrackCrop(sizes=(32, 64), center_jitter=(0, 2.0), scale_jitter=(0, 0.3), brightness=0.0)
        for _ in range(40):
            result = crop(self.pair())
            assert [image.shape for image in result['img']] == [(32, 32, 3), (64, 64, 3)]
            assert result['img_shape'] == [(32, 32), (64, 64)]
            for image, boxes in zip(result['img'], result['gt_bboxes']):
                bright = image.min(2) > 170
                x1, y1, x2, y2 = boxes[0]
                rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
                assert abs(columns[0] - max(x1, 0)) < 2.5
                assert abs(columns[-1] + 1 - min(x2, image.shape[1])) < 2.5
                assert abs(rows[0] - max(y1, 0)) < 2.5
                assert abs(rows[-1] + 1 - min(y2, image.shape[0])) < 2.5

    def test_every_template_is_cut_as_one(self):
        pair = self.pair()
        three = {name: [*values, values[0]] for name, values in pair.items()}
        crop = OSTrackCrop(sizes=(32, 64), num_templates=2)(three)
        assert crop['img_shape'] == [(32, 32), (32, 32), (64, 64)]

    def test_each_crop_is_flipped_and_lit_by_itself(self):
        random.seed(1)
        crop = OSTrackCrop(sizes=(32, 64), center_jitter=(0, 0), scale_jitter=(0, 0))
        marked = self.pair()
        for image in marked['img']:
            image[30:46, 40:44] = 120  # the target's left edge
        left, lights = [], []
        for _ in range(60):
            images = crop(marked)['img']
            rows = [image[image.shape[0] // 2, :, 0].astype(int) for image in images]
            middles = [(len(row) - 1) / 2 for row in rows]
            left.append(tuple(np.flatnonzero(row > 0.8 * row.max()).mean() > m for row, m in zip(rows, middles)))
            lights.append([row.max() for row in rows])
        assert set(left) == {(a, b) for a in (False, True) for b in (False, True)}
        lights = np.array(lights)
        assert 190 <= lights.min() < 215, 'as dark as 0.8'
        assert abs(np.corrcoef(lights.T)[0, 1]) < 0.6

    @pytest.mark.parametrize('box', [(40, 30, 40, 46), (np.nan, 30, 60, 46), (900, 900, 920, 920)])
    def test_nothing_to_see_gives_none(self, box):
        pair = self.pair()
        pair['gt_bboxes'][1] = np.array([box], np.float32)
        assert OSTrackCrop(sizes=(32, 64), center_jitter=(0, 0))(pair) is None


def build(type_: str, **kwargs):
    return DATASETS.build(dict(dict(type=type_, pipeline=[]), **kwargs))


class TestSequences:
    def test_folder(self, sequences):
        data = build('mmvidmae.SequenceFolderDataset', data_root=str(sequences))
        assert [info['name'] for info in map(data.get_data_info, range(data.num_videos))] == ['a', 'b', 'c']
        assert [data.get_len_per_video(i) for i in range(3)] == [22, 24, 26]
        assert data.get_bboxes_from_video(1)[3].tolist() == [18, 9, 16, 16]
        assert data.get_ann_infos_from_video(1)['bboxes'][3].tolist() == [18, 9, 34, 25]
        infos = data.get_img_infos_from_video(2)
        assert infos['video_length'] == len(infos['img_paths']) == 26
        assert infos['img_paths'][5].endswith('c/img/0005.jpg')
        (sequences.parent / 'some.txt').write_text('c\n\na\n')
        some = build(
            'mmvidmae.SequenceFolderDataset', data_root=str(sequences), ann_file=str(sequences.parent / 'some.txt')
        )
        assert [some.get_data_info(i)['name'] for i in range(2)] == ['c', 'a']

    @pytest.mark.parametrize(
        ('type_', 'frames', 'boxes', 'files'),
        [
            (
                'LaSOTExtDataset',
                'cls/{}/img',
                'cls/{}/groundtruth.txt',
                {'cls/{}/full_occlusion.txt': '0,1,0', 'cls/{}/out_of_view.txt': '0,0,1'},
            ),
            ('TNL2KDataset', '{}/imgs', '{}/groundtruth.txt', {}),
            ('NFSDataset', 'sequences/{}', 'anno/nfs_{}.txt', {}),
            ('GOT10kSequences', '{}', '{}/groundtruth.txt', {'{}/cover.label': '8\n0\n0\n'}),
        ],
    )
    def test_layouts(self, tmp_path, type_, frames, boxes, files):
        for name in ('x-2', 'x-1'):
            (tmp_path / frames.format(name)).mkdir(parents=True)
            for number in range(3):
                Image.new('RGB', (20, 16)).save(tmp_path / frames.format(name) / f'{number:05d}.jpg')
            (tmp_path / boxes.format(name)).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / boxes.format(name)).write_text('1,2,3,4\n2,2,3,4\n3,2,3,4\n')
            for path, text in files.items():
                (tmp_path / path.format(name)).write_text(text)
        data = build(f'mmvidmae.{type_}', data_root=str(tmp_path), test_mode=True)
        names = [data.get_data_info(i)['name'].split('/')[-1] for i in range(data.num_videos)]
        assert names == ['x-1', 'x-2']
        assert data.get_bboxes_from_video(0)[2].tolist() == [3, 2, 3, 4]
        assert len(data.get_img_infos_from_video(1)['img_paths']) == 3
        visible = data.get_visibility_from_video(0)['visible'].tolist()
        assert visible == ([True, False, False] if files else [True] * 3)

    def test_two_modalities(self, tmp_path):
        """LasHeR shares the boxes, RGBT234 has one for each modality; the toolkit's files of attributes."""
        for name in ('b', 'a'):
            for folder in ('visible', 'infrared'):
                (tmp_path / name / folder).mkdir(parents=True)
                for number in range(3):
                    Image.new('RGB', (20, 16)).save(tmp_path / name / folder / f'{folder[0]}{number}.jpg')
                (tmp_path / name / f'{folder}.txt').write_text(''.join(f'{n},2,3,{len(folder)}\n' for n in range(3)))
            (tmp_path / name / 'init.txt').write_text('1,2,3,4\n0,0,0,0\n3,2,3,4\n')
        (tmp_path / 'lasher').mkdir()
        for name, last in (('a', 1), ('b', 0)):
            (tmp_path / f'lasher/{name}.txt').write_text(','.join(map(str, [1] + [0] * 17 + [last])))
        (tmp_path / 'attr').mkdir()
        (tmp_path / 'attr/SequencesName.txt').write_text('b\na\nother\n')
        for attribute in 'BC CM DEF FM HO LI LR MB NO PO SC TC'.split():  # noqa: SIM905
            (tmp_path / f'attr/{attribute}.txt').write_text('1\n0\n1\n' if attribute == 'SC' else '0\n0\n1\n')
        pipeline = Config.fromfile(Path(__file__).parents[2] / 'configs/_base_/datasets/lasher_sot.py').test_pipeline
        options = dict(data_root=str(tmp_path), test_mode=True, pipeline=pipeline)

        with DefaultScope.overwrite_default_scope('mmtrack'):
            lasher = build('mmvidmae.LasHeRDataset', attributes='lasher', **options)
            rgbt234 = build('mmvidmae.RGBT234Dataset', attributes='attr', **options)
        assert lasher.metainfo['sequences'] == ['a', 'b']
        attributes = {name: having for name, having in lasher.metainfo['attributes'].items() if having}
        assert attributes == {'NO': ['a', 'b'], 'ARC': ['a']}
        assert np.isnan(lasher.get_bboxes_from_video(0)[1]).all()
        sample = lasher[(0, 2)]
        assert sample['inputs']['img'].shape == (1, 6, 16, 20)
        assert 'thermal_bbox' not in sample['data_samples'].instances[0]

        assert {name: having for name, having in rgbt234.metainfo['attributes'].items() if having} == {'SC': ['b']}
        (instance,) = rgbt234[(1, 2)]['data_samples'].instances
        assert instance['bbox'].tolist() == [2, 2, 5, 9]
        assert instance['thermal_bbox'].tolist() == [2, 2, 5, 10]

        (tmp_path / 'attr/TC.txt').write_text('1\n')
        with pytest.raises(ValueError, match=r'attr/TC\.txt: 1 numbers for 3 sequences'):
            build('mmvidmae.RGBT234Dataset', attributes='attr', **{**options, 'pipeline': []}).metainfo  # noqa: B018
        (tmp_path / 'a/infrared.txt').write_text('1,2,3,4\n')
        with pytest.raises(ValueError, match=r'a/infrared\.txt: 1 boxes for 3 visible ones'):
            build('mmvidmae.RGBT234Dataset', **{**options, 'pipeline': []})
        (tmp_path / 'b/infrared/i2.jpg').unlink()
        with pytest.raises(ValueError, match='b/infrared: 2 infrared frames for 3 visible ones'):
            build('mmvidmae.LasHeRDataset', **{**options, 'pipeline': []})

    @pytest.mark.parametrize(
        ('images', 'boxes', 'kept'), [(9, 9, 9), (10, 9, 9), (9, 10, 9), (9, 65, 9), (10, 72, 9), (9, 72, 9)]
    )
    def test_nfs_as_downloaded(self, tmp_path, images, boxes, kept):
        """VATIC lines, for 240 frames a second too; one image or box more than there are of the other."""
        folder = tmp_path / 'bird 2/30'
        (folder / 'bird 2').mkdir(parents=True)
        for number in range(images):
            Image.new('RGB', (20, 16)).save(folder / f'bird 2/{number + 1:05d}.jpg')
        lines = [f'0 {number} 2 {number + 3} 8 {number} 0 0 0 "bird"\n' for number in range(boxes)]
        (folder / 'bird 2.txt').write_text(''.join(lines))
        data = build('mmvidmae.NFSDataset', data_root=str(tmp_path), test_mode=True)
        assert data.get_data_info(0)['name'] == 'bird 2'
        assert data.get_len_per_video(0) == len(data.get_img_infos_from_video(0)['img_paths']) == kept
        step = 8 if boxes > 60 else 1
        assert data.get_bboxes_from_video(0).tolist() == [[step * n, 2, 3, 6] for n in range(kept)]
        with pytest.raises(ValueError, match='there are no sequences'):
            build('mmvidmae.NFSDataset', data_root=str(tmp_path), fps=240, test_mode=True)

    def test_nfs_of_other_lengths_is_refused(self, tmp_path):
        (tmp_path / 'x/30/x').mkdir(parents=True)
        for number in range(6):
            Image.new('RGB', (20, 16)).save(tmp_path / f'x/30/x/{number}.jpg')
        (tmp_path / 'x/30/x.txt').write_text('0 1 2 3 4 0 0 0 0 "x"\n' * 4)
        with pytest.raises(ValueError, match=r'x/30/x\.txt: 4 boxes for the 6 frames in'):
            build('mmvidmae.NFSDataset', data_root=str(tmp_path), test_mode=True)

    def test_names_for_results_are_their_own(self, sequences, tmp_path):
        for name in ('a/1', 'b/1', 'b/2'):
            shutil.copytree(sequences / 'a/img', tmp_path / name / 'images')
            shutil.copy(sequences / 'a/groundtruth_rect.txt', tmp_path / name)
        options = dict(data_root=str(tmp_path), frames='{name}/images', ann_file=str(tmp_path / 'list.txt'))
        for lines, expected in (('a/1\nb/2\n', ['1', '2']), ('a/1\nb/1\nb/2\n', ['a/1', 'b/1', 'b/2'])):
            (tmp_path / 'list.txt').write_text('\ufeff' + lines)
            data = build('mmvidmae.SequenceFolderDataset', test_mode=True, **options)
            assert data.metainfo['sequences'] == expected
            assert data.metainfo['has_ground_truth']
        (tmp_path / 'list.txt').write_text('a/1\nb/1\na/1\n')
        with pytest.raises(ValueError, match=r'list\.txt: listed more than once: a/1'):
            build('mmvidmae.SequenceFolderDataset', test_mode=True, **options)

    def test_sequences_that_give_no_pair(self, sequences):
        def another(results):
            return None

        data = build('mmvidmae.SequenceFolderDataset', data_root=str(sequences), max_refetch=3)
        data.pipeline.transforms = [another]
        with pytest.raises(ValueError, match=r'sequences.*: 4 sequences in a row gave no pair'):
            data[0]

    def test_pictures_that_cannot_be_read_are_replaced_in_training(self, sequences, tmp_path):
        shutil.copytree(sequences, tmp_path / 'sequences')
        for path in (tmp_path / 'sequences/a/img').iterdir():
            path.write_bytes(path.read_bytes()[:200])
        cfg = Config.fromfile(
            Path(__file__).parents[2] / 'configs/small/droptrack_vit-tiny6-p8-96_1xb16-1e_sequences.py'
        )
        data = DATASETS.build(
            dict(
                type='mmvidmae.SequenceFolderDataset',
                data_root=str(tmp_path / 'sequences'),
                pipeline=cfg.train_pipeline,
                _scope_='mmtrack',
            )
        )
        assert data[0]['inputs']['img'].shape == (1, 3, 48, 48)
        data.test_mode, data.pipeline.transforms = True, [LoadPicture()]
        with pytest.raises(VideoReadError, match=r'a/img: 0000\.jpg is no readable image'):
            data.pipeline(dict(img_path=str(tmp_path / 'sequences/a/img/0000.jpg')))

    def test_pictures_are_as_those_of_the_toolboxes(self, sequences):
        paths = [str(path) for path in sorted((sequences / 'b/img').iterdir())[:2]]
        expected = [LoadImageFromFile()(dict(img_path=path)) for path in paths]
        single, both = LoadPicture()(dict(img_path=paths[0], frame_id=7)), LoadPicture()(dict(img_path=paths))
        assert single.keys() == {'frame_id', *expected[0]}
        for key in ('img', 'img_shape', 'ori_shape'):
            assert np.array_equal(single[key], expected[0][key])
            assert np.array_equal(both[key], [results[key] for results in expected])

    def test_a_first_box_alone_is_enough_to_test_on(self, sequences, tmp_path):
        shutil.copytree(sequences / 'a', tmp_path / 'a')
        (tmp_path / 'a/groundtruth_rect.txt').write_text('8,6,16,16\n')
        data = build('mmvidmae.SequenceFolderDataset', data_root=str(tmp_path), test_mode=True)
        infos = data.get_ann_infos_from_video(0)
        assert infos['bboxes'].shape == (22, 4)
        assert np.isnan(infos['bboxes'][1:]).all()
        assert infos['visible'].tolist() == [True] + [False] * 21
        assert not data.metainfo['has_ground_truth']
        with pytest.raises(ValueError, match='1 boxes for the 22 frames in'):
            build('mmvidmae.SequenceFolderDataset', data_root=str(tmp_path))

    @pytest.mark.parametrize(
        ('change', 'message'),
        [
            (lambda root: (root / 'a/img/0003.jpg').unlink(), r'groundtruth_rect\.txt: 22 boxes for the 21 frames'),
            (lambda root: shutil.rmtree(root / 'a/img'), r'a/img: No such file .* frames of a should be there'),
            (lambda root: (root / 'a/groundtruth_rect.txt').write_text('nan,nan,nan,nan\n' * 22), 'line 1: the first'),
            (lambda root: (root / 'a/groundtruth_rect.txt').unlink(), 'there are no sequences'),
            (shutil.rmtree, 'no such folder'),
        ],
    )
    def test_what_is_missing_is_named(self, sequences, tmp_path, change, message):
        root = tmp_path / 'data'
        shutil.copytree(sequences / 'a', root / 'a')
        change(root)
        with pytest.raises(ValueError, match=message):
            build('mmvidmae.SequenceFolderDataset', data_root=str(root), test_mode=True)

    def test_flags_of_another_length(self, sequences, tmp_path):
        shutil.copytree(sequences / 'a', tmp_path / 'a')
        (tmp_path / 'a/absent.txt').write_text('0,1')
        with pytest.raises(ValueError, match=r'absent\.txt: 2 flags for 22 boxes'):
            build('mmvidmae.SequenceFolderDataset', data_root=str(tmp_path), invisible=['{name}/absent.txt'])


class TestSampler:
    """Videos of mmtrack's own data sets are looked at before a test."""

    @pytest.fixture
    def lists(self, sequences, tmp_path):
        shutil.copytree(sequences / 'a/img', tmp_path / 'cls/v/img')
        for path in sorted((tmp_path / 'cls/v/img').iterdir(), reverse=True):
            path.rename(path.with_name(f'{int(path.stem) + 1:08d}.jpg'))
        shutil.copy(sequences / 'a/groundtruth_rect.txt', tmp_path / 'cls/v/groundtruth.txt')
        (tmp_path / 'infos.txt').write_text('header\ncls/v/img,cls/v/groundtruth.txt,1,22')
        return tmp_path

    def sample(self, root):
        data = DATASETS.build(
            dict(
                type='mmtrack.LaSOTDataset',
                pipeline=[],
                data_root=str(root),
                ann_file='infos.txt',
                data_prefix=dict(img_path=''),
                test_mode=True,
            )
        )
        return DATA_SAMPLERS.build(dict(type='mmvidmae.SequenceSampler', dataset=data))

    def test_all_frames_in_order(self, lists):
        assert list(self.sample(lists)) == [(0, frame) for frame in range(22)]
        (lists / 'cls/v/groundtruth.txt').write_text('8,6,16,16\n')
        assert len(self.sample(lists)) == 22, 'a first box alone will do'

    def test_what_is_missing_is_named(self, lists):
        annotation = lists / 'cls/v/groundtruth.txt'
        whole = annotation.read_text()
        annotation.write_text(whole + '1,1,5,5\n')
        with pytest.raises(ValueError, match=r'v/groundtruth\.txt: 23 boxes, but .*infos\.txt lists 22 frames'):
            self.sample(lists)
        annotation.write_text(whole.replace(',', ';'))
        with pytest.raises(ValueError, match=r'v/groundtruth\.txt: its boxes cannot be read'):
            self.sample(lists)
        annotation.write_text(whole)
        (lists / 'cls/v/img/00000022.jpg').unlink()
        with pytest.raises(ValueError, match=r'00000022\.jpg: no such file, but .*infos\.txt lists it'):
            self.sample(lists)


class TestRepeatableItems:
    """With a sampler of ours, the draws of mmtrack's data sets and of ours follow from the sample."""

    @pytest.fixture
    def data(self, sequences, tmp_path):
        """The sequences, and GOT-10k's layout with two of them, mixed by mmtrack's wrapper."""
        lines = []
        for name in 'ab':
            shutil.copytree(sequences / name / 'img', tmp_path / name)
            shutil.copy(sequences / name / 'groundtruth_rect.txt', tmp_path / name / 'groundtruth.txt')
            frames = sorted((tmp_path / name).glob('*.jpg'))
            for number, frame in enumerate(frames):
                frame.rename(tmp_path / name / f'{number + 1:08d}.jpg')
            for file, value in (('absence', 0), ('cover', 8)):
                (tmp_path / name / f'{file}.label').write_text(f'{value}\n' * len(frames))
            lines.append(f'{name},{name}/groundtruth.txt,1,{len(frames)}\n')
        (tmp_path / 'list.txt').write_text('header\n' + ''.join(lines))
        pipeline = [dict(type='mmvidmae.CausalPairSampling')]
        got10k = dict(ann_file=str(tmp_path / 'list.txt'), data_root=str(tmp_path), data_prefix=dict(img_path=''))
        parts = [
            dict(type='mmvidmae.SequenceFolderDataset', data_root=str(sequences), pipeline=pipeline),
            dict(type='mmvidmae.GOT10kDataset', pipeline=pipeline, **got10k),
        ]
        with DefaultScope.overwrite_default_scope('mmtrack'):
            yield [
                *(DATASETS.build(part) for part in parts),
                DATASETS.build(dict(type='mmvidmae.RandomSampleConcatDataset', datasets=parts)),
                DATASETS.build(dict(type='ConcatDataset', datasets=parts)),
            ]

    def test_draws(self, data):
        def frames(item):
            return item['img_path']

        for dataset in data:
            numbered = [SampleIndex(index % len(dataset), 3, 7, number=index) for index in range(12)]
            first = [frames(dataset[sample]) for sample in numbered]
            random.seed(5)
            np.random.seed(5)  # noqa: NPY002
            assert [frames(dataset[sample]) for sample in reversed(numbered)] == first[::-1]
            assert len({tuple(pair) for pair in first}) > 8
            assert [frames(dataset[SampleIndex(int(sample), 4, 7)]) for sample in numbered] != first
