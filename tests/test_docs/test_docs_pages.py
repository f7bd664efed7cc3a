"""All that the documentation shows can be checked, its links lead somewhere, and what is broken is named."""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from docs_check import TOOLS, Problem, check_pages, parse_bash
from docs_pages import PAGES, ROOT, Block, broken_links, docstring_commands, problems_of, read_blocks


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def page(tmp_path):
    """A function that writes a page and gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / 'page.md'
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize('path', PAGES, ids=name)
def test_every_block_says_how_it_is_checked(path):
    assert [problem for block in read_blocks(path) for problem in problems_of(block)] == []


@pytest.mark.parametrize('path', PAGES, ids=name)
def test_links_lead_somewhere(path):
    assert list(broken_links(path)) == []


@pytest.mark.parametrize('path', TOOLS, ids=name)
def test_docstrings_show_commands_of_their_tool(path):
    commands = [command for _, command in docstring_commands(path)]
    assert commands
    assert all(command.startswith(f'python {name(path)}') for command in commands)


def test_figures_of_the_demo_are_those_of_its_pictures():
    """``docs/images/make.py demo`` writes pictures and figures together."""
    figures = json.loads((ROOT / 'docs/images/demo.json').read_text())
    readme = ' '.join((ROOT / 'README.md').read_text('utf-8').split())
    drop, siam = figures['DropMAE'], figures['SiamMAE']
    assert f'DropMAE has an error of {drop["error"]:.2f} and SiamMAE of {siam["error"]:.2f}' in readme
    assert f"each patch's mean color has an error of {drop['constant']:.2f} and {siam['constant']:.2f}" in readme


def test_commands_of_a_block():
    code = "# no command\nc=a.py\npython x.py \\\n    --long $c\n\ncat > f <<'EOF'\n# inside\nEOF\nlast  # remark\n"
    commands = [
        (1, 'c=a.py'),
        (2, 'python x.py \\\n    --long $c'),
        (5, "cat > f <<'EOF'\n# inside\nEOF"),
        (8, 'last  # remark'),
    ]
    assert list(Block(ROOT / 'README.md', 1, 'bash', code).commands()) == commands


def test_comment_of_a_block(page):
    text = """
- item

  <!-- check: run 'a b'=c WORD=$x
  first = 1
  -->
  ```python
  print('a b', WORD)
  ```

```text
no code
```
<!-- check: parse --> ends with text
```bash
make
```
"""
    item, bare = read_blocks(page(text))
    assert (item.line, item.manner, item.setup) == (8, 'run', 'first = 1\n')
    assert item.prepared(item.code) == "print('c', $x)\n"
    assert bare.manner == ''


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('```bash\nmake demo\n```', '{}:2: no comment in front of the block'),
        ('<!-- check: build -->\n```bash\nmake\n```', "{}:3: bash has no manner 'build'"),
        ('<!-- check: run X=Y -->\n```python\nZ\n```', "{}:3: 'X', which the comment replaces, is not in the block"),
        ('<!-- check: run X -->\n```python\nX\n```', "{}:3: 'X' in the comment is not TEXT=REPLACEMENT"),
    ],
)
def test_blocks_that_cannot_be_checked(page, text, message):
    (block,) = read_blocks(page(text))
    (problem,) = problems_of(block)
    assert problem.startswith(message.format(block.page))


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('see [this](nowhere.md)', 'link to nowhere.md: there is no nowhere.md'),
        ('![picture](images/no.png)', 'link to images/no.png: there is no images/no.png'),
        ('[below](#further-down)', 'link to #further-down: there is no heading #further-down'),
        ('with `tools/no_such.py`', 'tools/no_such.py does not exist'),
    ],
)
def test_broken_links_are_named(page, line, message):
    path = page(f'# A heading, `with` code\n[up](#a-heading-with-code) [out](https://x.y) `tools/train.py`\n\n{line}\n')
    assert list(broken_links(path)) == [f'{path}:4: {message}']


@pytest.mark.parametrize(
    ('command', 'message'),
    [
        ('python tools/train.py configs/siammae/no.py', 'configs/siammae/no.py does not exist'),
        ('python tools/no_such.py', 'tools/no_such.py does not exist'),
        ('python tools/train.py CONFIG --resum --fast', 'unrecognized arguments: --fast'),
        ('bash tools/dist_test.sh CONFIG CHECKPOINT 8 --ouf x', 'unrecognized arguments: --ouf x'),
        ('python -m mmvidmae.utils.no_such', 'there is no module mmvidmae.utils.no_such'),
        ('make no_such', "No rule to make target 'no_such'"),
        ('pip install --no-deps mmengine==0.1.0', 'mmengine==0.1.0 is not what requirements/ pins'),
        ("pip install -e '.[tracking,no_such]'", 'setup.py has no extra'),
        ('rm -rf data', 'rm: this program cannot be parsed'),
    ],
)
def test_commands_that_cannot_work(monkeypatch, command, message):
    monkeypatch.chdir(ROOT)
    with pytest.raises(Problem, match=message):
        parse_bash(command)


def test_a_broken_command_is_reported_where_it_is(page, tmp_path):
    """In a process of its own, as the check redirects the output of its process."""
    path = page(
        '<!-- check: run\nmkdir made\n-->\n```bash\nls made\ncat missing.txt\n```\n'
        '<!-- check: run WORD=2\nfirst = 1\n-->\n```python\nassert WORD == 2\nassert first == WORD\n```\n'
    )
    (tmp_path / 'workspace').mkdir()
    with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as process:
        count, problems = process.submit(check_pages, tmp_path / 'workspace', [path], tmp_path / 'work').result()
    assert count == 4
    bash, python = problems
    assert bash.startswith(f'{path}:6: cat missing.txt')
    assert 'exit code 1' in bash
    assert 'missing.txt: No such file' in bash
    assert python.startswith(f'{path}:12: assert WORD == 2')
    assert f'{path}", line 13' in python
