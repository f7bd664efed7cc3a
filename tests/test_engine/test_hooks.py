"""Hooks that report: skipped videos and reconstructions."""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_runs import build, tiny_config

NOT_UTF8 = os.fsdecode(b'caf\xe9.mp4')


def read(report):
    """The lines of a report, bytes that are no UTF-8 as in names of files."""
    return os.fsdecode(report.read_bytes()).splitlines()


@pytest.fixture(scope='module')
def run(video_dir, tmp_path_factory):
    """A run of four epochs with two validations, whose folder of videos holds a text file and an empty file, too. Not
    all names are UTF-8."""
    folder = tmp_path_factory.mktemp('hooks')
    shutil.copytree(video_dir, folder / 'videos')
    (folder / 'videos' / 'text.mp4').write_text('not a video')
    (folder / 'videos' / NOT_UTF8).touch()
    (folder / 'videos' / 'a.mp4').rename(folder / 'videos' / f'a{NOT_UTF8}')
    config = tiny_config(folder / 'videos', folder / 'run', train_cfg=dict(by_epoch=True, max_epochs=4, val_interval=2))
    runner = build(config)
    runner.train()
    return runner


def test_bad_videos_are_logged_once_listed_and_counted(run):
    listed = dict(line.split('\t') for line in read(Path(run.work_dir, 'skipped_videos.txt')))
    assert sorted(Path(path).name for path in listed) == sorted([NOT_UTF8, 'text.mp4'])
    assert all(listed.values())  # reasons
    log = next(Path(run.log_dir).glob('*.log')).read_text()
    for path, reason in listed.items():
        assert log.count(f'Skipped video: {path}: {reason}'.replace('\udce9', r'\udce9')) == 1
    scalars = [json.loads(line) for line in Path(run.log_dir, 'vis_data', 'scalars.json').read_text().splitlines()]
    assert [line['skipped_videos'] for line in scalars if 'loss' in line][-1] == 2


def test_another_run_adds_only_new_lines(run, video_dir, tmp_path):
    report = tmp_path / 'run' / 'skipped_videos.txt'
    report.parent.mkdir()
    known = read(Path(run.work_dir, 'skipped_videos.txt'))
    report.write_bytes(os.fsencode(known[0] + '\n'))
    config = tiny_config(Path(known[0].split('\t')[0]).parent, tmp_path / 'run')
    build(config).train()
    assert sorted(read(report)) == sorted(known)


def test_pictures_of_the_same_pairs_after_each_validation(run):
    folder = Path(run.log_dir, 'vis_data', 'vis_image')
    assert sorted(os.listdir(folder)) == ['val_reconstruction_16.png', 'val_reconstruction_8.png']
    first, second = (cv2.imread(str(folder / f'val_reconstruction_{step}.png')) for step in (8, 16))
    assert first.shape == second.shape
    side = 128 + 4
    assert (first[18 : 18 + 128, : 2 * side] == second[18 : 18 + 128, : 2 * side]).all()  # original and masked
    assert (first != second).any()  # the model has changed

    events = EventAccumulator(str(Path(run.log_dir, 'vis_data')))
    events.Reload()
    assert [image.step for image in events.Images('val_reconstruction')] == [8, 16]
    for image, expected in zip(events.Images('val_reconstruction'), (first, second), strict=True):
        decoded = cv2.imdecode(np.frombuffer(image.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
        assert np.array_equal(decoded, expected)


def test_picture_of_a_test(video_dir, tmp_path):
    config = tiny_config(video_dir, tmp_path / 'run')
    runner = build(config)
    metrics = runner.test()
    assert metrics['reconstruction/constant_mse'] == pytest.approx(1, abs=0.05)
    assert Path(runner.log_dir, 'vis_data/vis_image/test_reconstruction_0.png').exists()
