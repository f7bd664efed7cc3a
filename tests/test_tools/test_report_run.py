"""The report of a run."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TOOL = 'analysis_tools/report_run.py'


def write_run(folder: Path, losses: list[float], start: int = 10, time: str = '1', text: str = 'lr = 0.1\n') -> Path:
    """Logs of a training as MMEngine writes them: a loss every ten iterations, a validation at the end."""
    logs = folder / time / 'vis_data'
    (logs / 'vis_image').mkdir(parents=True)
    lines = [
        dict(loss=loss, lr=0.1, base_lr=0.1, time=0.5, data_time=0.05, memory=100 + i, step=start + 10 * i)
        for i, loss in enumerate(losses)
    ]
    lines.append({'reconstruction/mse': losses[-1], 'time': 0.1, 'step': 1})
    (logs / 'scalars.json').write_text(''.join(f'{json.dumps(line)}\n' for line in lines))
    (logs / 'config.py').write_text(text)
    for step in range(6):
        Image.fromarray(np.full((8, 8, 3), 40 * step, np.uint8)).save(logs / f'vis_image/val_reconstruction_{step}.png')
    return folder


def text_of(path: Path) -> str:
    page = path.read_text('utf-8')
    assert not re.findall(r'(?:src|href)="(?!data:image/(?:png|jpeg);base64,)', page), 'the page needs other files'
    return page


def test_one_run(tmp_path, call_tool, capsys):
    """A resumed run, a clip with a name that is no HTML, a config to compare with."""
    run = write_run(tmp_path / 'run', [2.0, 1.5, 1.0])
    write_run(run, [0.9, 0.8], start=30, time='2', text='lr = 0.2\nepochs = 3\n')
    (run / 'skipped_videos.txt').write_bytes(b'a<script>\xff.mp4\tbroken\n' * 30)
    (run / 'last_checkpoint').write_text('epoch_1.pth')
    (tmp_path / 'base.py').write_text('lr = 0.1\nepochs = 3\n')
    call_tool(TOOL, run, '--base', tmp_path / 'base.py')
    page = text_of(run / 'report.html')
    assert '2 at iteration 10, 0.8 at the end' in page
    assert '<td>40</td>' in page  # iterations
    assert '10.0%' in page  # of the time waits for data
    assert 'epoch_1.pth' in page
    assert 'a&lt;script&gt;\\xff.mp4' in page
    assert '... and 10 more' in page
    assert 'lr: 0.1 -&gt; 0.2' in page
    assert 'epochs: 3' not in page
    captions = re.findall('<figcaption>(.*?)</figcaption>', page)
    assert captions == [f'val_reconstruction, step {step}' for step in (0, 2, 3, 5)]
    assert re.findall('img src="[^"]*" alt="([^"]*)"', page)[:3] == ['loss', 'reconstruction/mse', 'lr']


def test_runs_side_by_side(tmp_path, call_tool):
    runs = [
        write_run(tmp_path / name / 'run', [1.0, last], text=f'lr = {last}\n')
        for name, last in (('a', 0.5), ('b', 0.7))
    ]
    call_tool(TOOL, *runs, '-o', tmp_path / 'both.html')
    page = text_of(tmp_path / 'both.html')
    assert f'<th>{runs[0]}</th><th>{runs[1]}</th>' in page  # their folders have the same name
    assert 'lr: 0.5 -&gt; 0.7' in page


def test_a_folder_without_logs(tmp_path, call_tool, capsys):
    with pytest.raises(SystemExit):
        call_tool(TOOL, tmp_path)
    assert capsys.readouterr().err.splitlines()[-1].endswith('no training log (*/vis_data/scalars.json) found')
