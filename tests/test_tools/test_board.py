"""The board of frozen encoders, on made-up data, and its page."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mmengine.config import Config
from PIL import Image
from samples import make_davis, make_sequences
from scipy.io import loadmat, savemat

ROOT = Path(__file__).resolve().parents[2]
TINY = dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48)


@pytest.fixture
def board(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'tools/experiments')
    import board

    return board


@pytest.fixture
def data(tmp_path) -> dict[str, Path]:
    """DAVIS with one sequence and JHMDB with one video."""
    davis = make_davis(tmp_path / 'davis', {'a': 4})
    (davis / 'ImageSets/2017').mkdir(parents=True)
    (davis / 'ImageSets/2017/val.txt').write_text('a\n')
    jhmdb = tmp_path / 'jhmdb'
    for folder in ('splits', 'Rename_Images/run/v', 'joint_positions/run/v'):
        (jhmdb / folder).mkdir(parents=True)
    (jhmdb / 'splits/run_test_split1.txt').write_text('v.avi 2\n')
    rng = np.random.default_rng(0)
    for number in range(1, 4):
        Image.fromarray(rng.integers(256, size=(48, 64, 3), dtype=np.uint8)).save(
            jhmdb / f'Rename_Images/run/v/{number:05d}.png'
        )
    savemat(jhmdb / 'joint_positions/run/v/joint_positions.mat', dict(pos_img=rng.uniform(5, 40, (2, 15, 3))))
    return dict(davis=davis, jhmdb=jhmdb)


@pytest.fixture
def encoders(tmp_path) -> Path:
    """A list of a trained and a random encoder with patches of 8 pixels, and one whose weights are missing."""
    backbone = dict(type='mmvidmae.PairMAEViT', arch=TINY, img_size=32, patch_size=8)
    model = dict(type='mmvidmae.LabelPropagator', backbone=backbone)
    Config(dict(model=model)).dump(str(tmp_path / 'tiny.py'))
    from mmvidmae.models.propagation import LabelPropagator

    torch.manual_seed(1)
    state = {f'backbone.{name}': value for name, value in LabelPropagator(backbone).backbone.state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'tiny.pth')
    rows = [
        dict(label='trained', config=str(tmp_path / 'tiny.py'), weights=str(tmp_path / 'tiny.pth')),
        dict(label='gone', config=str(tmp_path / 'tiny.py'), weights=str(tmp_path / 'gone.pth')),
        dict(label='random', config=str(tmp_path / 'tiny.py')),
        dict(label='still'),
    ]
    (tmp_path / 'encoders.yml').write_text(yaml.safe_dump(rows))
    return tmp_path / 'encoders.yml'


def test_cells_resume_refusals_and_page(board, data, encoders, tmp_path, call_tool, capsys):
    out, page = tmp_path / 'out', tmp_path / 'page.md'
    page.write_text(f'# Before\n{board.BEGIN}\nold\n{board.END}\nafter\n')
    command = ['experiments/board.py', out, '--encoders', encoders, '--davis', data['davis'], '--frames', '3']
    command += ['--grid', 'davis=4x6', 'jhmdb=4x4', '--protocols', 'davis=dino,dino-no-window', 'jhmdb=cropmae']
    with pytest.raises(SystemExit, match=r'^gone: there is no file .*gone\.pth$'):
        call_tool(*command, '--jhmdb', data['jhmdb'], '--page', page)
    text = capsys.readouterr().out
    assert text.count('LEFT OUT, gone') == 1
    assert 'about 0 min left' in text
    names = {
        f'{cell}_{label}.json'
        for cell in ('davis_dino', 'davis_dino-no-window', 'jhmdb_cropmae')
        for label in ('trained', 'random')
    } | {'davis_still.json', 'jhmdb_still.json'}
    assert {path.name for path in out.iterdir()} == names

    cell = json.loads((out / 'davis_dino-no-window_trained.json').read_text())
    assert cell['input_size'] == [32, 48], 'the grid times the patch'
    assert cell['options']['radius'] is None
    assert cell['options']['topk'] == 5
    assert cell['asked']['videos'] == ['a']
    assert cell['scores']['sequences']['a']['frames'] == 1, 'all but the first and the last'
    assert len(cell['asked']['sha256']) == 16
    assert cell['backbone']['patch_size'] == 8
    assert 0 <= json.loads((out / 'jhmdb_cropmae_random.json').read_text())['scores']['PCK@0.1'] <= 100

    shown = page.read_text()
    assert shown.startswith('# Before\n')
    assert shown.endswith(f'{board.END}\nafter\n')
    assert 'old' not in shown
    assert f'| trained | 32 x 48 | `{cell["asked"]["sha256"]}` |' in shown
    assert f'{cell["scores"]["J&F-Mean"]:.1f}' in shown

    before = {path: path.read_bytes() for path in out.iterdir()}
    (out / 'davis_dino_random.json').unlink()
    with pytest.raises(SystemExit, match='gone'):
        call_tool(*command, '--jhmdb', data['jhmdb'])
    assert '11 cells, 1 to do' in capsys.readouterr().out
    again = json.loads((out / 'davis_dino_random.json').read_text())['scores']
    assert again == json.loads(before[out / 'davis_dino_random.json'])['scores'], 'the seed is that of the first run'
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(SystemExit, match='gone'):
        call_tool(*command, '--jhmdb', data['jhmdb'])
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    assert '11 cells, 0 to do' in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r'davis_dino_random\.json has other seed: use another folder, or delete it'):
        call_tool(*command, '--seed', '1')
    torch.save(dict(state_dict={}), tmp_path / 'tiny.pth')
    with pytest.raises(SystemExit, match='has other sha256'):
        call_tool(*command)


def test_unreadable_data_leaves_the_others(data, encoders, tmp_path, call_tool, capsys):
    """Bad data is reported with its file; a bad frame costs its cells only."""
    (data['jhmdb'] / 'joint_positions/run/v/joint_positions.mat').write_bytes(b'damaged')
    (data['davis'] / 'JPEGImages/480p/a/00001.jpg').write_bytes(b'\xff\xd8damaged')
    options = ['--encoders', encoders, '--davis', data['davis'], '--jhmdb', data['jhmdb'], '--protocols', 'davis=dino']
    with pytest.raises(SystemExit, match='joint_positions'):
        call_tool('experiments/board.py', tmp_path / 'out', *options)
    text = capsys.readouterr().out
    assert 'random, davis, dino: FAILED' in text
    assert '00001.jpg' in text


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--protocols', 'davis=dinno'], 'there is no protocol dinno'),
        (['--grid', 'davs=2x2'], 'DATA one of davis, jhmdb'),
        (['--grid', 'davis=20'], 'expected HxW'),
        (['--frames', '2'], 'davis=2: a score needs a number of at least 3'),
        (['--frames', 'sot=1'], 'sot=1: a score needs a number of at least 2'),
        (['--frames', 'davis=all'], 'a score needs a number'),
        (['--protocols', 'sot=dino'], 'there is no matcher dino: they are propagation, correlation'),
        ([], 'give --davis, --jhmdb or --sot'),
        (['--davis', 'no/such'], 'there is nothing to score: davis: DAVISDataset: data_root no/such is no folder'),
    ],
)
def test_mistakes_are_named(options, message, tmp_path, call_tool, capsys):
    with pytest.raises(SystemExit):
        call_tool('experiments/board.py', tmp_path, *options)
    assert message in capsys.readouterr().err


def test_the_page_has_the_committed_scores(board):
    encoders = board.read_encoders(ROOT / 'tools/experiments/board.yml')
    text = (ROOT / 'docs/results/board.md').read_text('utf-8')
    assert board.tables(ROOT / 'docs/results/board', encoders) == text.split(board.BEGIN)[1].split(board.END)[0].strip()
    assert [encoder.label for encoder in encoders if encoder.config is None] == ['labels stay in place']
    for encoder in encoders:
        assert encoder.config is None or (ROOT / encoder.config).is_file()


def test_labels_that_stay_in_place(board, data, encoders, tmp_path, call_tool):
    """Their scores are those of the first frame's labels, whatever the pixels are."""
    encoders.write_text('- label: still\n')
    out = tmp_path / 'out'
    call_tool('experiments/board.py', out, '--encoders', encoders, '--davis', data['davis'], '--jhmdb', data['jhmdb'])
    davis, jhmdb = (json.loads((out / f'{name}_still.json').read_text()) for name in ('davis', 'jhmdb'))
    # the square of 24 pixels has moved by 8 and by 16: IoU 2 / 4 and 1 / 5
    assert davis['scores']['J-Mean'] == pytest.approx(100 * (1 / 2 + 1 / 5) / 2)
    assert davis['asked']['grid'] is None
    true = loadmat(data['jhmdb'] / 'joint_positions/run/v/joint_positions.mat')['pos_img'].transpose(2, 1, 0) - 1
    distance = np.linalg.norm(true[1:] - true[:1], axis=-1)
    size = 0.6 * np.linalg.norm(np.ptp(true[1:], axis=1), axis=-1)[:, None]
    assert jhmdb['scores']['PCK@0.3'] == pytest.approx(100 * (distance <= 0.3 * size).mean())
    assert jhmdb['scores']['moved PCK@0.1'] == 0
    assert 0 < jhmdb['scores']['moved PCK@0.5'] < jhmdb['scores']['PCK@0.5']


def test_tracking_and_a_recurrent_encoder(board, encoders, tmp_path, call_tool):
    pytest.importorskip('mmdet')
    sequences, out, page = make_sequences(tmp_path / 'sot', 'ab'), tmp_path / 'out', tmp_path / 'new/page.md'
    backbone = dict(type='mmvidmae.RecurrentViT', arch=TINY, img_size=32, patch_size=8, core=dict(depth=1))
    Config(dict(model=dict(type='mmvidmae.LabelPropagator', backbone=backbone))).dump(str(tmp_path / 'recurrent.py'))
    rows = [dict(label='still'), dict(label='random', config=str(tmp_path / 'tiny.py'))]
    encoders.write_text(yaml.safe_dump([*rows, dict(label='recurrent', config=str(tmp_path / 'recurrent.py'))]))
    call_tool(
        *('experiments/board.py', out, '--encoders', encoders, '--sot', sequences, '--frames', 'sot=8'),
        *('--grid', 'sot=8x8', '--page', page),
    )
    cells = {path.stem.removeprefix('sot_'): json.loads(path.read_text()) for path in out.iterdir()}
    assert len(cells) == 5
    assert cells['propagation_random']['input_size'] == [64, 64]
    assert cells['propagation_random']['options']['matcher']['floor'] == 0.5
    assert len(cells['correlation_random']['options']['matcher']['scales']) == 3
    assert cells['correlation_recurrent']['options']['matcher']['scales'] == [1.0], 'one crop of each frame'
    assert set(cells['still']['scores']['sequences']) == {'a', 'b'}
    assert cells['propagation_random']['scores']['success'] > cells['still']['scores']['success']
    still, random = (
        f'{cells[name]["scores"]["success"]:.1f} / {cells[name]["scores"]["precision"]:.1f}'
        for name in ('still', 'propagation_random')
    )
    assert f'| still | - | - | {still} | {still} |' in page.read_text()
    assert f'| random | 64 x 64 | seed 0 | {random} | ' in page.read_text()


def test_a_still_cell_is_found_where_it_was(data, encoders, tmp_path, call_tool, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'tools/experiments')
    from still_matches import offsets

    first = torch.nn.functional.normalize(torch.randn(16, 5, 7, generator=torch.Generator().manual_seed(0)), dim=0)
    assert (offsets(first, first) == 0).all()
    moved = offsets(first, first.roll((1, 2), (1, 2)))
    assert (moved[1:, 2:] == 2).all(), 'the larger one of both offsets'
    out = tmp_path / 'still.json'
    options = ['--encoders', encoders, '--only', 'random', 'trained', '--frames', '3', '--grid', '4']
    call_tool('experiments/still_matches.py', data['jhmdb'], out, *options)
    found = json.loads(out.read_text())
    without, rows = found['without_encoder'], found['encoders']
    assert without['true_on_grid']['PCK@0.5'] >= without['stay_on_grid']['PCK@0.5']
    assert [row['label'] for row in rows] == ['trained', 'random']
    assert all(0 <= row['last_frame']['same'] <= row['last_frame']['within_1'] <= 100 for row in rows)
