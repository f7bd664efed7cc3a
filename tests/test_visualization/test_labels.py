"""Images of propagated labels."""

import imageio_ffmpeg
import numpy as np
import pytest

from mmvidmae.visualization import contact_sheet, draw_heat, draw_masks, draw_pose, mark_point, write_video


def gray(height=41, width=63) -> np.ndarray:
    return np.full((height, width, 3), 100, np.uint8)


def test_masks_are_colored_where_they_are():
    ids = np.zeros((41, 63), np.uint8)
    ids[10:30, 5:25], ids[10:30, 40:60] = 1, 2
    frame = gray()
    drawn = draw_masks(frame, ids, alpha=0.5)
    assert (frame == 100).all(), 'the frame itself is left alone'
    assert (drawn[ids == 0] == 100).all()
    assert drawn[20, 15].tolist() == [114, 50, 50]  # half of dark red
    assert drawn[20, 50].tolist() == [50, 114, 50]
    assert drawn[10, 15].tolist() == [192, 128, 128], 'a bright contour'
    assert (draw_masks(frame, ids, alpha=0)[20, 15] == 100).all()


def test_masks_of_another_size():
    ids = np.zeros((10, 20), np.uint8)
    ids[:, 10:] = 3
    drawn = draw_masks(gray(40, 80), ids)
    assert (drawn[:, :39] == 100).all()
    assert (drawn[20, 60] != 100).any()


def test_invisible_joints_are_not_drawn():
    frame = gray(80, 80)
    joints = np.full((15, 2), -1.0)
    assert np.array_equal(draw_pose(frame, joints), frame)
    joints[0] = 40, 30
    drawn = draw_pose(frame, joints)
    rows, columns = np.nonzero((drawn != frame).any(2))
    assert abs(rows - 30).max() <= 4
    assert abs(columns - 40).max() <= 4
    joints[2] = 40, 70  # the face is connected with the neck
    assert (draw_pose(frame, joints)[50, 40] > 200).all()
    assert np.array_equal(draw_pose(frame, np.array([[300.0, 300.0], [-1, -1]])), frame), 'outside the image'


@pytest.mark.parametrize(('num', 'columns', 'rows'), [(1, 4, 1), (4, 4, 1), (5, 4, 2), (9, 3, 3)])
def test_contact_sheets_hold_all_images(num, columns, rows):
    images = [np.full((20, 30, 3), 10 * number, np.uint8) for number in range(num)]
    sheet = contact_sheet(images, [str(number) for number in range(num)], columns)
    assert sheet.shape == (rows * 42 + 4, min(num, columns) * 34 + 4, 3)
    for number in range(num):
        top, left = 4 + number // columns * 42, 4 + number % columns * 34
        assert (sheet[top : top + 20, left : left + 30] == 10 * number).all()


def test_contact_sheets_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match='one size'):
        contact_sheet([gray(20, 20), gray(30, 20)], ['a', 'b'])
    with pytest.raises(ValueError, match='one size'):
        contact_sheet([], [])


def test_heat_is_red_where_it_is_largest():
    heat = np.zeros((4, 6))
    heat[1, 4] = 1
    drawn = draw_heat(gray(40, 60), heat).astype(int)
    hot, cold = drawn[15, 45], drawn[35, 5]
    assert hot[0] > hot[2] + 50
    assert cold[2] >= cold[0]
    assert draw_heat(gray(), np.ones((2, 2))).std(axis=(0, 1)).max() == 0, 'a constant map has one color'


def test_points_are_marked_on_a_copy():
    frame = gray()
    drawn = mark_point(frame, 30, 20)
    assert (frame == 100).all()
    assert (drawn != frame).any(2).sum() > 20


def test_videos_are_whole_or_not_there(tmp_path):
    frames = [np.full((33, 47, 3), 40 * i, np.uint8) for i in range(5)]
    write_video(tmp_path / 'a' / 'v.mp4', iter(frames), fps=5)
    reader = imageio_ffmpeg.read_frames(str(tmp_path / 'a' / 'v.mp4'))
    assert next(reader)['size'] == (46, 32), 'odd sides lose a pixel'
    assert sum(1 for _ in reader) == 5

    def broken():
        yield frames[0]
        raise RuntimeError('stop')

    with pytest.raises(RuntimeError, match='stop'):
        write_video(tmp_path / 'b.mp4', broken())
    with pytest.raises(ValueError, match='no images'):
        write_video(tmp_path / 'b.mp4', [])
    assert not list(tmp_path.glob('b*'))
