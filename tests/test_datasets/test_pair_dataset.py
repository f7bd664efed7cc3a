import resource
import shutil
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.runner import Runner

from mmvidmae.datasets import FramePairDataset, ImageViewDataset, SampleIndex, VideoPairDataset, pair_dataset, samplers
from mmvidmae.datasets.pair_dataset import on_main_process

PIPELINE = [
    dict(type='mmvidmae.SampleFramePairs', gap=(1, 9), draw_first='start'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairRandomResizedCrop', size=32, scale=(0.2, 1), shared=False),
    dict(type='mmvidmae.PairRandomFlip', shared=False),
    dict(type='mmvidmae.PackPairs'),
]


def make(**kwargs):
    return VideoPairDataset(**{**dict(pipeline=PIPELINE), **kwargs})


def summary(item):
    """All that an item holds, comparable."""
    samples = [(Path(s.video_path).name, s.frame_ids, s.seed) for s in item['data_samples']]
    return samples, [int(pair.long().sum()) for pair in item['inputs']]


def skipped(item):
    return [Path(path).name for path, _ in item['data_samples'][0].get('skipped', [])]


def write_list(path, clips):
    path.write_text(''.join(f'{clip} 0\n' for clip in clips))
    return str(path)


@pytest.fixture
def mixed(tmp_path, video_dir, bad_clips):
    """A list with one good clip among all those that cannot be opened."""
    bad = [bad_clips / 'missing.mp4', *(clip for clip in sorted(bad_clips.iterdir()) if clip.name != 'damaged.mp4')]
    return write_list(tmp_path / 'mixed.txt', [*bad, video_dir / 'a.mp4'])


class TestSources:
    def test_folder(self, video_dir):
        dataset = make(data_root=str(video_dir))
        assert len(dataset) == 6
        assert dataset.get_data_info(5)['video_path'] == str(video_dir / 'f f.mp4')

    @pytest.mark.parametrize(('indices', 'length'), [(2, 2), (-2, 2), (6, 6), (2048, 6), (-2048, 6), ([0, 3], 2)])
    def test_the_first_so_many_are_at_most_all(self, video_dir, indices, length):
        assert len(make(data_root=str(video_dir), indices=indices)) == length

    def test_list_below_a_root(self, tmp_path, video_dir):
        shutil.copytree(video_dir, tmp_path / 'clips')
        write_list(tmp_path / 'train.txt', ['f f.mp4', 'c.avi', str(video_dir / 'a.mp4')])
        dataset = make(ann_file='train.txt', data_root=str(tmp_path), data_prefix=dict(video='clips'))
        paths = [dataset.get_data_info(i)['video_path'] for i in range(len(dataset))]
        assert paths == [str(tmp_path / 'clips/f f.mp4'), str(tmp_path / 'clips/c.avi'), str(video_dir / 'a.mp4')]
        assert dataset[0]['inputs'].shape == (1, 2, 3, 32, 32)

    def test_no_source(self):
        with pytest.raises(ValueError, match='needs ann_file'):
            make()

    def test_no_clips(self, tmp_path):
        with pytest.raises(ValueError, match=f'{tmp_path}.*no clips found'):
            make(data_root=str(tmp_path))
        with pytest.raises(ValueError, match=r'empty\.txt.*no clips found'):
            make(ann_file=write_list(tmp_path / 'empty.txt', []))

    def test_nothing_readable(self, tmp_path, bad_clips):
        clips = [bad_clips / name for name in ('empty.mp4', 'missing.mp4', 'text.mp4')]
        with pytest.raises(ValueError, match='no readable clip among 3') as caught:
            make(ann_file=write_list(tmp_path / 'bad.txt', clips))
        for reason in ('empty.mp4: the file is empty', 'missing.mp4: No such file', 'text.mp4: not a readable video'):
            assert reason in str(caught.value)

    @pytest.mark.parametrize('wrong', [dict(data_prefix=dict(img='x')), dict(repeated_sampling=0)])
    def test_bad_arguments(self, video_dir, wrong):
        with pytest.raises(ValueError, match=f'VideoPairDataset: {next(iter(wrong))}'):
            make(data_root=str(video_dir), **wrong)

    def test_a_prefix_merged_with_that_of_a_base_config_says_how_to_replace_it(self, video_dir):
        with pytest.raises(ValueError, match=r"got \{'img': 'x', 'video': ''\}.* dict\(_delete_=True, video=FOLDER\)"):
            make(data_root=str(video_dir), data_prefix=dict(img='x', video=''))

    def test_long_list_touches_no_file_but_the_first(self, tmp_path, video_dir):
        clips = [video_dir / 'a.mp4', *(tmp_path / f'{i}.mp4' for i in range(50_000))]
        dataset = make(ann_file=write_list(tmp_path / 'long.txt', clips))
        assert len(dataset) == 50_001
        assert not dataset.data_list, 'paths are kept as bytes, which workers share'
        assert dataset.data_bytes.nbytes < 200 * len(dataset)


class TestItems:
    def test_pairs_of_one_sample(self, video_dir, frame_number):
        dataset = make(data_root=str(video_dir), repeated_sampling=3, pipeline=PIPELINE[:2])
        results = dataset[SampleIndex(4, 0, 0)]
        assert results['frames'].shape == (3, 2, 3, 48, 64)
        read = [[frame_number(frame.permute(1, 2, 0)) for frame in pair] for pair in results['frames']]
        assert read == results['frame_ids'].tolist()
        assert len({tuple(pair) for pair in read}) > 1

    def test_all_follows_from_the_sample_index(self, video_dir):
        one, other = (make(data_root=str(video_dir), repeated_sampling=2) for _ in range(2))
        other[3]  # what came before does not matter
        assert summary(one[SampleIndex(2, 5, 7)]) == summary(other[SampleIndex(2, 5, 7)])
        items = [
            summary(one[sample])
            for sample in (SampleIndex(2, 5, 7), SampleIndex(2, 6, 7), SampleIndex(2, 5, 8), SampleIndex(4, 5, 7))
        ]
        assert all(items.count(item) == 1 for item in items)

    def test_plain_index_follows_torchs_generator(self, video_dir):
        dataset = make(data_root=str(video_dir))
        torch.manual_seed(0)
        first, second = summary(dataset[2]), summary(dataset[2])
        torch.manual_seed(0)
        assert summary(dataset[2]) == first != second
        assert dataset[-1]['data_samples'][0].video_path == str(video_dir / 'f f.mp4')

    def test_one_frame(self, tmp_path, write_video):
        write_video(tmp_path / 'one.mp4', 1)
        item = make(data_root=str(tmp_path), repeated_sampling=2)[0]
        assert [sample.frame_ids for sample in item['data_samples']] == [(0, 0), (0, 0)]


class TestBadClips:
    def test_every_kind_is_replaced_and_named(self, mixed):
        dataset = make(ann_file=mixed, repeated_sampling=2)
        for index in range(len(dataset) - 1):
            item = dataset[SampleIndex(index, 0, 0)]
            first, second = item['data_samples']
            assert Path(first.video_path).name == Path(second.video_path).name == 'a.mp4'
            assert first.skipped[0][0] == dataset.get_data_info(index)['video_path']
            assert all(reason for _, reason in first.skipped)
            assert 'skipped' not in second
        assert skipped(dataset[SampleIndex(len(dataset) - 1, 0, 0)]) == []

    def test_damage_inside(self, tmp_path, video_dir, bad_clips):
        ann_file = write_list(tmp_path / 'list.txt', [video_dir / 'f f.mp4', bad_clips / 'damaged.mp4'])
        far_apart = dict(type='mmvidmae.SampleFramePairs', gap=(30, 39), draw_first='gap')  # so one lies in the damage
        dataset = make(ann_file=ann_file, pipeline=[far_apart, *PIPELINE[1:]])
        ((path, reason),) = dataset[SampleIndex(1, 0, 0)]['data_samples'][0].skipped
        assert path == str(bad_clips / 'damaged.mp4')
        assert 'cannot decode frames' in reason

    def test_replacement_does_not_depend_on_what_was_seen_before(self, tmp_path, video_dir, bad_clips):
        clips = [video_dir / 'a.mp4', bad_clips / 'text.mp4', video_dir / 'e.mp4', bad_clips / 'empty.mp4']
        ann_file = write_list(tmp_path / 'list.txt', clips)
        fresh, used = make(ann_file=ann_file), make(ann_file=ann_file)
        for index in range(4):
            used[index]
        for sample in (SampleIndex(1, 0, 0), SampleIndex(3, 1, 0), SampleIndex(1, 2, 0)):
            one, other = fresh[sample], used[sample]
            assert summary(one) == summary(other)
            assert skipped(one) == skipped(other) != []

    def test_bad_clips_are_not_tried_again(self, tmp_path, video_dir, bad_clips):
        broken = tmp_path / 'broken.mp4'
        shutil.copy(bad_clips / 'text.mp4', broken)
        dataset = make(ann_file=write_list(tmp_path / 'list.txt', [video_dir / 'a.mp4', broken]))
        assert skipped(dataset[SampleIndex(1, 0, 0)]) == ['broken.mp4']
        shutil.copy(video_dir / 'b.mp4', broken)
        assert skipped(dataset[SampleIndex(1, 0, 0)]) == ['broken.mp4']

    def test_ends_when_all_have_become_bad(self, tmp_path, video_dir):
        for name in ('a.mp4', 'b.mp4'):
            shutil.copy(video_dir / name, tmp_path)
        dataset = make(data_root=str(tmp_path))
        for name in ('a.mp4', 'b.mp4'):
            (tmp_path / name).write_text('no video')
        with pytest.raises(RuntimeError, match=r'not one of the 2 clips can be read; the last tried: .*not a readable'):
            dataset[0]

    def test_subsets_know_their_own(self, tmp_path, video_dir, bad_clips):
        clips = [video_dir / 'a.mp4', bad_clips / 'text.mp4', video_dir / 'b.mp4']
        dataset = make(ann_file=write_list(tmp_path / 'list.txt', clips))
        dataset[SampleIndex(1, 0, 0)]
        assert skipped(dataset.get_subset([0, 2])[SampleIndex(1, 0, 0)]) == []


@contextmanager
def no_more_files():
    """This process can open none: the error is EMFILE, one of those that pass."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


class TestFileSystemThatFailsForAMoment:
    @pytest.fixture
    def mount(self, tmp_path, video_dir):
        shutil.copytree(video_dir, tmp_path / 'mount')
        return tmp_path / 'mount'

    def test_missing_clip_is_tried_again(self, mount):
        (mount / 'b.mp4').rename(mount / 'elsewhere')
        names = ('a.mp4', 'b.mp4')
        dataset = make(ann_file=write_list(mount / 'list.txt', [mount / name for name in names]))
        assert skipped(dataset[SampleIndex(1, 0, 0)]) == ['b.mp4']
        (mount / 'elsewhere').rename(mount / 'b.mp4')
        assert skipped(dataset[SampleIndex(1, 0, 0)]) == []

    def test_clip_that_is_refused_is_tried_again(self, mount):
        dataset = make(data_root=str(mount), patience=0)
        expected = [summary(dataset[SampleIndex(i, 0, 0)]) for i in range(6)]
        with no_more_files(), pytest.raises(RuntimeError, match=r'not one of the 6 clips .*\(Too many open files\)'):
            dataset[SampleIndex(0, 0, 0)]
        assert [summary(dataset[SampleIndex(i, 0, 0)]) for i in range(6)] == expected

    @pytest.mark.parametrize('folders', [False, True], ids=['videos', 'frames'])
    def test_waits_until_it_is_back(self, mount, folders, monkeypatch):
        """And goes on as if nothing had happened, with a warning in the log each time it waits."""
        options = dict(data_root=str(mount), patience=100)
        if folders:
            (mount / 'clip').mkdir()
            for number in range(12):
                cv2.imwrite(str(mount / f'clip/{number}.png'), np.full((48, 64, 3), number, np.uint8))
        dataset = FramePairDataset(**options, pipeline=PIPELINE) if folders else make(**options)
        expected = summary(dataset[SampleIndex(0, 0, 0)])
        away, pauses, warnings = mount.with_name('away'), [], []

        def sleep(seconds):
            pauses.append(seconds)
            if len(pauses) == 3:
                away.rename(mount)

        monkeypatch.setattr(pair_dataset.time, 'sleep', sleep)
        monkeypatch.setattr(pair_dataset, 'print_log', lambda text, logger, level: warnings.append(text))
        mount.rename(away)
        item = dataset[SampleIndex(0, 0, 0)]
        assert (summary(item), skipped(item), pauses) == (expected, [], [1, 2, 4])
        assert len(warnings) == 3
        assert all('The file system may be away' in text and 'No such file' in text for text in warnings)

    def test_gives_up_in_the_end(self, mount, monkeypatch):
        clips = [mount / 'a.mp4'] * 50
        dataset = make(ann_file=write_list(mount / 'list.txt', clips), patience=200)
        pauses = []
        monkeypatch.setattr(pair_dataset.time, 'sleep', pauses.append)
        with (
            no_more_files(),
            pytest.raises(RuntimeError, match=r'not one of 20 tried of the 50 .* after 200 s'),
        ):
            dataset[SampleIndex(0, 0, 0)]
        assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 17]


def load(dataset, num_workers, seed=1, batch_size=2, epochs=(0, 1), **sampler):
    """Batches as the runner's loader gives them."""
    cfg = dict(
        dataset=dataset,
        sampler=dict(type='mmvidmae.PairSampler', **sampler),
        collate_fn=dict(type='mmvidmae.pair_collate'),
        batch_size=batch_size,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )
    loader = Runner.build_dataloader(cfg, seed=seed)
    batches = []
    for epoch in epochs:
        loader.sampler.set_epoch(epoch)
        batches += [summary(batch) for batch in loader]
    return batches


def pairs_of(batches):
    return [(sample, total) for samples, totals in batches for sample, total in zip(samples, totals, strict=True)]


class TestLoader:
    @pytest.fixture
    def dataset(self, mixed, video_dir):
        with open(mixed, 'a') as file:
            file.writelines(f'{clip} 1\n' for clip in sorted(video_dir.iterdir()))
        return dict(type='mmvidmae.VideoPairDataset', ann_file=mixed, pipeline=PIPELINE, repeated_sampling=2)

    def test_number_of_workers_does_not_matter(self, dataset):
        alone = load(dataset, 0)
        assert load(dataset, 2) == alone
        assert load(dataset, 0, seed=2) != alone

    def test_number_of_ranks_does_not_matter(self, dataset, monkeypatch):
        alone = load(dataset, 0, batch_size=4)
        ranks = []
        for rank in range(2):
            monkeypatch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, 2))
            ranks.append(load(dataset, 0, batch_size=2))
        assert len(alone) == len(ranks[0]) == len(ranks[1])
        for batch, *parts in zip(alone, *ranks, strict=True):
            assert sorted(pairs_of([batch])) == sorted(pairs_of(parts))

    def test_data_sets_are_mixed_as_told(self, dataset, video_dir):
        """In MMEngine's wrappers, with 2, 1 and 1 pairs per sample, whatever the number of workers."""
        clips = dict(type='mmvidmae.VideoPairDataset', data_root=str(video_dir), pipeline=PIPELINE)
        twice = dict(type='RepeatDataset', dataset=clips, times=2)
        mixed = dict(type='ConcatDataset', datasets=[dict(clips, repeated_sampling=2), twice])
        pairs = pairs_of(load(mixed, 0))
        assert pairs == pairs_of(load(mixed, 2))
        assert len(pairs) == 2 * (6 + 2 * 6), 'two epochs'
        assert len(set(pairs)) == len(pairs), 'copies of a clip give different pairs'
        pairs = pairs_of(load(mixed, 0, shares=[1, 2], samples_per_epoch=12))
        assert len(pairs) == 2 * 12

    def test_a_schedule_follows_the_epoch_of_the_sample(self, video_dir):
        schedule = dict(PIPELINE[0], gap_schedule=[(0, 1), (1, 9)])
        dataset = dict(type='mmvidmae.VideoPairDataset', data_root=str(video_dir), pipeline=[schedule, *PIPELINE[1:]])
        largest = [
            max(ids[1] - ids[0] for (_, ids, _), _ in pairs_of(load(dataset, 0, epochs=[epoch]))) for epoch in (0, 1)
        ]
        assert largest[0] == 1 < largest[1]

    def test_effective_epochs(self, video_dir):
        dataset = dict(type='mmvidmae.VideoPairDataset', data_root=str(video_dir), pipeline=PIPELINE)
        for k in (1, 2, 3):
            pairs = pairs_of(load(dict(dataset, repeated_sampling=k), 0, epochs=range(k)))
            assert len(pairs) == 6 * k, 'k epochs of as many pairs as there are clips'
            assert len({sample[0] for sample, _ in pairs}) == 6


class TestFramePairDataset:
    def test_sequences(self, tmp_path):
        for sequence, num_frames in (('val/seq_10', 12), ('val/seq_2', 3)):
            (tmp_path / sequence).mkdir(parents=True)
            for i in range(num_frames):
                cv2.imwrite(str(tmp_path / sequence / f'{i}.png'), np.full((48, 64, 3), i, np.uint8))
        dataset = FramePairDataset(data_root=str(tmp_path), data_prefix=dict(img='val'), pipeline=PIPELINE[:2])
        paths = [dataset.get_data_info(i)['video_path'] for i in range(len(dataset))]
        assert paths == [str(tmp_path / 'val/seq_2'), str(tmp_path / 'val/seq_10')]
        results = dataset[SampleIndex(1, 0, 0)]
        assert results['frames'][0, :, 0, 0, 0].tolist() == results['frame_ids'][0].tolist()

    def test_mmaction2_list(self, tmp_path):
        cv2.imwrite(str(tmp_path / 'img_00001.jpg'), np.zeros((48, 64, 3), np.uint8))
        (tmp_path / 'list.txt').write_text(f'{tmp_path} 1 0\n')
        dataset = FramePairDataset(ann_file=str(tmp_path / 'list.txt'), pipeline=PIPELINE)
        assert dataset[0]['data_samples'][0].frame_ids == (0, 0)

    def test_bad_sequence(self, tmp_path):
        (tmp_path / 'good').mkdir()
        (tmp_path / 'bad').mkdir()
        cv2.imwrite(str(tmp_path / 'good/0.png'), np.zeros((48, 64, 3), np.uint8))
        (tmp_path / 'bad/0.png').write_text('no image')
        dataset = FramePairDataset(data_root=str(tmp_path), pipeline=PIPELINE)
        item = dataset[SampleIndex(0, 0, 0)]
        assert skipped(item) == ['bad']


def _fail():
    raise NotADirectoryError('nowhere')


def _list_on_two_ranks(rank, folder):
    dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2)
    paths = on_main_process(lambda: [f'found by {rank}'])
    try:
        on_main_process(_fail if rank == 0 else list)
    except NotADirectoryError as error:
        paths.append(str(error))
    (folder / f'{rank}.txt').write_text(', '.join(paths))
    dist.destroy_process_group()


def test_one_process_scans_for_all_and_fails_for_all(tmp_path):
    mp.start_processes(_list_on_two_ranks, (tmp_path,), nprocs=2, start_method='fork')
    assert [(tmp_path / f'{rank}.txt').read_text() for rank in range(2)] == ['found by 0, nowhere'] * 2


VIEWS = [
    dict(type='mmvidmae.SampleFrames', num_frames=1),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PictureViews', size=32, scale=((0.5, 1), (0.3, 0.6))),
    dict(type='mmvidmae.PackPairs'),
]


class TestImageViewDataset:
    @pytest.fixture
    def folder(self, tmp_path):
        """An ImageNet-like folder of pictures of different sizes, one of them damaged."""
        for number in range(4):
            (tmp_path / f'train/n0{number % 2}').mkdir(parents=True, exist_ok=True)
            picture = np.random.default_rng(number).integers(0, 255, (40 + number, 60, 3), np.uint8)
            cv2.imwrite(str(tmp_path / f'train/n0{number % 2}/{number}.JPEG'), picture)
        (tmp_path / 'train/n00/9.JPEG').write_text('no picture')
        (tmp_path / 'train/n00/labels.txt').write_text('no picture either')
        return tmp_path

    def make(self, folder, **kwargs):
        kwargs = {**dict(data_root=str(folder), data_prefix=dict(img='train'), pipeline=VIEWS), **kwargs}
        return ImageViewDataset(**kwargs)

    def test_folder_and_list(self, folder):
        dataset = self.make(folder, repeated_sampling=2)
        names = [Path(dataset.get_data_info(index)['video_path']).name for index in range(len(dataset))]
        assert names == ['0.JPEG', '2.JPEG', '9.JPEG', '1.JPEG', '3.JPEG']
        item = dataset[SampleIndex(3, 0, 0)]
        assert item['inputs'].shape == (2, 2, 3, 32, 32)
        assert [sample.frame_ids for sample in item['data_samples']] == [(0,), (0,)]
        assert not torch.equal(item['inputs'][0], item['inputs'][1]), 'each pair has crops of its own'
        (folder / 'list.txt').write_text('n01/1.JPEG 1\nn00/0.JPEG 0\n')
        listed = self.make(folder, ann_file='list.txt', repeated_sampling=2)
        assert [Path(listed.get_data_info(index)['video_path']).name for index in (0, 1)] == ['1.JPEG', '0.JPEG']

    def test_a_broken_picture_is_replaced(self, folder):
        dataset = self.make(folder)
        item = dataset[SampleIndex(2, 0, 0)]
        ((path, reason),) = item['data_samples'][0].skipped
        assert (Path(path).name, reason) == ('9.JPEG', 'no readable image')
        (folder / 'train/n01/1.JPEG').unlink()
        ((path, reason),) = dataset[SampleIndex(3, 0, 0)]['data_samples'][0].skipped
        assert (Path(path).name, reason) == ('1.JPEG', 'No such file or directory')

    def test_draws_follow_from_seed_epoch_and_index(self, folder):
        dataset = self.make(folder)
        first = summary(dataset[SampleIndex(0, 0, 0)])
        assert summary(self.make(folder)[SampleIndex(0, 0, 0)]) == first
        for other in (SampleIndex(0, 1, 0), SampleIndex(0, 0, 1)):
            assert summary(dataset[other])[1] != first[1]

    def test_views_of_a_frame_of_a_video(self, video_dir):
        item = make(data_root=str(video_dir), pipeline=VIEWS, repeated_sampling=3)[0]
        assert item['inputs'].shape == (3, 2, 3, 32, 32)

    def test_malformed_list(self, folder):
        (folder / 'list.txt').write_text('n01/1.JPEG cat\n')
        with pytest.raises(ValueError, match=r'list.txt:1: .*the label after the path must be an integer'):
            self.make(folder, ann_file='list.txt')
