import errno
import io
import json
import logging
import os
import time

import pytest
from mmengine.logging import MMLogger

from mmvidmae.datasets.sources import natural_key, read_list, scan


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('MMVIDMAE_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


@pytest.fixture
def log():
    """What is logged, a text buffer."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield text
    logger.removeHandler(handler)


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def come_to_rest(root):
    """Makes all folders look unchanged for an hour."""
    for folder, _, _ in os.walk(root):
        os.utime(folder, (time.time() - 3600,) * 2)


class TestReadList:
    def read(self, tmp_path, text, kind='video'):
        file = tmp_path / 'list.txt'
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_list(str(file), kind)

    @pytest.mark.parametrize(
        ('line', 'path'),
        [
            ('a.mp4', 'a.mp4'),
            ('a.mp4 3', 'a.mp4'),
            ('a.mp4\t-1', 'a.mp4'),
            ('  a.mp4   3  ', 'a.mp4'),
            ('riding a bike/clip 2.mp4 17', 'riding a bike/clip 2.mp4'),
            ('riding a bike/clip 2.mp4', 'riding a bike/clip 2.mp4'),
            ('a.mp4 copy.mp4 3', 'a.mp4 copy.mp4'),
            ('/data/x/no_suffix 3', '/data/x/no_suffix'),
            ('a.mp4 1 5 7', 'a.mp4'),  # MMAction2's multi-class list
            ('sequence/img 120 4', 'sequence/img'),  # MMAction2's list of frame folders
            ('2024/3.MP4 5', '2024/3.MP4'),
            ('klärchen/日本.mkv 1', 'klärchen/日本.mkv'),
            ('a.mp4,3', 'a.mp4'),
            ('a.mp4, 3', 'a.mp4'),
            ('a.mp4;3', 'a.mp4'),
            ('a.mp4 , 3, 4', 'a.mp4'),
            ('"my clip.mp4" 3', 'my clip.mp4'),
            ("'my clip.mp4',3", 'my clip.mp4'),
            ('"a, 3.mp4"', 'a, 3.mp4'),
            ('"a ""b"".mp4",3', 'a "b".mp4'),
            ("it's.mp4 3", "it's.mp4"),
            ('"a".mp4 3', '"a".mp4'),
            ('my, clip.mp4', 'my, clip.mp4'),
            ('1,2, three.mp4 5', '1,2, three.mp4'),
            ('path label.mp4 5', 'path label.mp4'),
        ],
    )
    def test_line(self, tmp_path, line, path):
        assert self.read(tmp_path, line + '\n') == [path]

    def test_order_comments_and_blank_lines(self, tmp_path):
        assert self.read(tmp_path, '# training\n\nb.mp4 1\r\n  \na.mp4 0') == ['b.mp4', 'a.mp4']

    @pytest.mark.parametrize(
        ('line', 'problem'),
        [
            ('17', 'a number stands where the path should be'),
            ('17 3', 'a number stands where the path should be'),
            ('a.mp4 running', 'the label after the path must be an integer'),
            ('a.mp4 0.5', 'the label after the path must be an integer'),
            ('a.mp4,running', 'the label after the path must be an integer'),
            ('"a.mp4",running', 'the label after the path must be an integer'),
            (', 3', 'there is no path'),
            ('-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,80,1', 'none of the columns names a video'),
            ('label,youtube_id,time_start,time_end,split', "this is Kinetics' own table"),
            ('testifying,---QUuC4vJs,84,94,validate', "this is Kinetics' own table"),
            ('"abseiling","3DB-UMnAYGg",83,93,"train"', "this is Kinetics' own table"),
            ('---QUuC4vJs,84,94,test', "this is Kinetics' own table"),
            ('path,label', 'these are headings of columns'),
            ('"Path";"Class"', 'these are headings of columns'),
            ('filename', 'these are headings of columns'),
            ('a\0b.mp4', 'this is not text'),
        ],
    )
    def test_malformed(self, tmp_path, line, problem):
        with pytest.raises(ValueError, match=r'list\.txt:3: expected `path \[label\]`, got .*' + problem) as caught:
            self.read(tmp_path, f'a.mp4 0\n# note\n{line}\n')
        assert ascii(line) in str(caught.value)

    def test_headings_in_other_words(self, tmp_path):
        with pytest.raises(ValueError, match=r'list\.txt:2: .*these are headings of columns'):
            self.read(tmp_path, '\nDatei;Klasse\na.mp4;0\n')
        assert self.read(tmp_path, 'no_suffix 3\na.mp4 0\n') == ['no_suffix', 'a.mp4']
        assert self.read(tmp_path, 'clips/no_suffix\na.mp4\n') == ['clips/no_suffix', 'a.mp4']

    def test_sequences_may_be_numbered(self, tmp_path):
        assert self.read(tmp_path, '0001\n0002 120 4\n', 'frames') == ['0001', '0002']
        assert self.read(tmp_path, 'video\na,120,4\n"b 7" 120\n', 'frames') == ['video', 'a', 'b 7']
        with pytest.raises(ValueError, match='headings'):
            self.read(tmp_path, 'frame_dir,total_frames,label\na,120,4\n', 'frames')

    def test_file_name_that_is_not_utf8(self, tmp_path):
        assert [os.fsencode(path) for path in self.read(tmp_path, b'caf\xe9.mp4 1\n')] == [b'caf\xe9.mp4']

    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            read_list(str(tmp_path / 'list.txt'), 'video')


def test_natural_order():
    names = ['img10', 'img2', 'img1', 'img01', 'a/10', 'a/9', 'b']
    assert sorted(names, key=natural_key) == ['a/9', 'a/10', 'b', 'img01', 'img1', 'img2', 'img10']


class TestScan:
    def test_class_folders_and_flat(self, tmp_path):
        names = ['top.mp4', 'running/2.AVI', 'running/10.mp4', 'riding a bike/deep/x.webm']
        root = touch(tmp_path / 'videos', *names, 'notes.txt', '.part.mp4', '.git/x.mp4', 'running/._2.mp4')
        assert scan(str(root), 'video') == ['riding a bike/deep/x.webm', 'running/2.AVI', 'running/10.mp4', 'top.mp4']

    @pytest.mark.parametrize(
        ('files', 'clips'),
        [
            (
                ['GOT-10k_Train_2/00000001.jpg', 'GOT-10k_Train_10/00000001.jpg'],
                ['GOT-10k_Train_2', 'GOT-10k_Train_10'],
            ),
            (['bird/bird-2/img/1.jpg', 'bird/bird-2/groundtruth.txt'], ['bird/bird-2/img']),
            (
                ['JPEGImages/480p/dog/00000.jpg', 'Annotations/480p/dog/00000.png', 'ImageSets/val.txt'],
                ['JPEGImages/480p/dog'],
            ),
            (['1.jpg', '2.jpg'], ['.']),
        ],
        ids=['GOT-10k', 'LaSOT', 'DAVIS', 'one sequence'],
    )
    def test_frame_folders(self, tmp_path, files, clips):
        assert scan(str(touch(tmp_path / 'root', *files)), 'frames') == clips

    def test_follows_links_but_not_in_circles(self, tmp_path):
        root = touch(tmp_path / 'root', 'a/1.mp4')
        elsewhere = touch(tmp_path / 'elsewhere', '2.mp4')
        (root / 'b').symlink_to(elsewhere)
        (root / 'a/up').symlink_to(root)
        assert scan(str(root), 'video') == ['a/1.mp4', 'b/2.mp4']

    @pytest.mark.parametrize('kind', ['video', 'frames'])
    def test_what_cannot_be_read_is_skipped_and_told(self, tmp_path, monkeypatch, log, cache, kind):
        root = touch(tmp_path / 'root', *(f'{name}/1.{end}' for name in ('a', 'b', 'c') for end in ('mp4', 'jpg')))
        for name in ('gone.mp4', 'gone_folder', 'a/gone.jpg'):
            (root / name).symlink_to(tmp_path / 'nowhere')
        (root / 'circle').symlink_to('circle')
        come_to_rest(root)
        open_folder = os.scandir

        def refuse(path):
            if path == str(root / 'b'):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            return open_folder(path)

        with monkeypatch.context() as patch:
            patch.setattr(os, 'scandir', refuse)  # the modes of files do not bind root, whom tests may run as
            assert scan(str(root), kind) == (['a/1.mp4', 'c/1.mp4'] if kind == 'video' else ['a', 'c'])
        said = log.getvalue()
        assert f'5 entries below {root} are skipped: ' in said
        for part in ('gone.mp4: No such file', 'gone_folder: No such', 'circle: Too many', 'b: Permission denied'):
            assert part in said
        assert not cache.exists(), 'what was missing may come back'
        assert len(scan(str(root), kind)) == 3

    def test_root_that_cannot_be_read(self, tmp_path, monkeypatch):
        def refuse(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

        monkeypatch.setattr(os, 'scandir', refuse)
        with pytest.raises(PermissionError, match=str(tmp_path)):
            scan(str(tmp_path), 'video')

    def test_missing_folder(self, tmp_path):
        with pytest.raises(NotADirectoryError, match='nowhere'):
            scan(str(tmp_path / 'nowhere'), 'video')


class TestScanCache:
    @pytest.fixture
    def root(self, tmp_path):
        root = touch(tmp_path / 'videos', 'a/1.mp4', 'b/2.mp4')
        come_to_rest(root)
        return root

    def test_is_used(self, root, cache):
        scan(str(root), 'video')
        (file,) = cache.iterdir()
        content = json.loads(file.read_text())
        file.write_text(json.dumps(dict(content, clips=['from the cache'])))
        assert scan(str(root), 'video') == ['from the cache']
        assert scan(str(root), 'frames') == [], 'another kind of clip, another scan'

    def test_says_how_to_search_again(self, root, cache, log, monkeypatch):
        clips = scan(str(root), 'video')
        (file,) = cache.iterdir()
        file.write_text(json.dumps(dict(json.loads(file.read_text()), clips=['old'])))
        assert 'from the cached search of' not in log.getvalue()
        assert scan(str(root), 'video') == ['old']
        said = log.getvalue()
        assert f'{root}: 1 clips, from the cached search of' in said
        assert f'({file}). Delete this file or set MMVIDMAE_RESCAN=1 to search again' in said
        monkeypatch.setenv('MMVIDMAE_RESCAN', '1')
        assert scan(str(root), 'video') == clips
        monkeypatch.delenv('MMVIDMAE_RESCAN')
        assert scan(str(root), 'video') == clips, 'and the new search is remembered'

    def test_names_that_are_not_utf8(self, tmp_path, cache, log):
        root = tmp_path / os.fsdecode(b'caf\xe9')
        touch(root, os.fsdecode(b'\xff/\xe9.mp4'), 'b/日本.mp4')
        come_to_rest(root)
        clips = scan(str(root), 'video')
        assert [os.fsencode(clip) for clip in clips] == ['b/日本.mp4'.encode(), b'\xff/\xe9.mp4']
        assert len(list(cache.iterdir())) == 1
        assert scan(str(root), 'video') == clips
        assert 'caf\\udce9' in log.getvalue()

    @pytest.mark.parametrize('change', ['add', 'remove', 'new folder', 'remove folder'])
    def test_notices_changes(self, root, change):
        before = scan(str(root), 'video')
        if change == 'add':
            touch(root, 'a/3.mp4')
        elif change == 'new folder':
            touch(root, 'c/3.mp4')
        else:
            (root / 'b/2.mp4').unlink()
            if change == 'remove folder':
                (root / 'b').rmdir()
        assert scan(str(root), 'video') != before

    def test_does_not_trust_a_folder_in_motion(self, tmp_path, cache):
        scan(str(touch(tmp_path / 'videos', '1.mp4')), 'video')
        assert not cache.exists()

    @pytest.mark.parametrize('content', [b'', b'{"folders"', b'[]', b'{}', b'\xff'])
    def test_damaged(self, root, cache, content):
        clips = scan(str(root), 'video')
        (file,) = cache.iterdir()
        file.write_bytes(content)
        assert scan(str(root), 'video') == clips

    def test_no_place_to_write(self, root, cache):
        cache.write_text('a file where the folder should be')
        assert scan(str(root), 'video') == ['a/1.mp4', 'b/2.mp4']
