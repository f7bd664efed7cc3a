"""Run every command of the documentation, as ``make docs-check`` does, and follow its links.

Each page gets a folder of its own with everything that it names (docs_workspace.py). Its blocks are checked in order,
each in the manner that the page says (docs_pages.py); commands in the text and in the tools' docstrings are parsed.

Example:
    python tests/docs_check.py                   # all pages and tools
    python tests/docs_check.py docs/weights.md --folder /tmp/weights
"""

import argparse
import ast
import contextlib
import importlib.util
import io
import multiprocessing
import os
import re
import runpy
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from unittest import mock

from docs_pages import PAGES, ROOT, Block, broken_links, docstring_commands, problems_of, read_blocks, text_commands

TOOLS = [path for path in sorted(ROOT.glob('tools/**/*.py')) if 'Example' in path.read_text('utf-8')]
NOT_RUN = ('apt-get', 'make', 'mim', 'pip')
"""Programs that need the network, change the environment or take long: their commands are parsed."""
SHORTER = {
    r'train\S* (configs/|my_siammae)': 'train_dataloader.batch_size=1 train_dataloader.num_workers=0 '
    'train_dataloader.persistent_workers=False',
    r'train\S* (configs/(dropmae|siammae|catmae|rsp|tcore)/(?!benchmarks)|my_siammae)': 'train_cfg.max_epochs=1',
    r'train\S* configs/(droptrack/|\w+/benchmarks/stark)': 'train_cfg.max_epochs=1 '
    'train_dataloader.sampler.samples_per_epoch=1',
    r'train\S* configs/dropseg/': 'train_cfg.max_iters=1',
    r'train\S* configs/(droptrack/|dropseg/|\w+/benchmarks/stark)': 'default_hooks.checkpoint.save_last=False',
    r'test\S* configs/dropseg/': 'test_dataloader.dataset.pipeline.0.short_side=96',
}
"""What is added to the options of commands, so that training ends after a step or two."""
LIBRARIES = ['torch', 'mmengine.runner', 'mmcv', 'mmpretrain']
"""What processes have imported when they begin: it saves seconds for each."""
TIMEOUT = 600
"""Seconds that a command may take."""


class Problem(Exception):
    """A command that does not work, and why."""


def expand(code: str, before: str) -> list[str]:
    """The words of a command as bash sees them; ``before`` are assignments that come first."""
    script = f"{before}printf '%s\\0' {code}"
    done = subprocess.run(['bash', '-e', '-c', script], capture_output=True, text=True, check=False)
    return done.stdout.split('\0')[:-1]


def shorten(words: list[str]) -> list[str]:
    """A command with one process, and with a training of a step or two."""
    if words[:2] == ['bash', 'tools/dist_train.sh']:
        words = [*words[:3], '1', *words[4:]]
    elif words[:2] == ['bash', 'tools/dist_test.sh']:
        words = [*words[:4], '1', *words[5:]]
    options = [option for pattern, option in SHORTER.items() if re.search(pattern, ' '.join(words))]
    return [*words, '--cfg-options', *' '.join(options).split()] if options else words


def run_bash(code: str, before: str = '') -> None:
    """Runs a command; ``before`` are assignments that come first."""
    plain = re.sub(r'(^| )#.*', '', code)
    run_words(['bash', '-e', '-c', before + code] if re.search('[<>|;&]', plain) else shorten(expand(plain, before)))


def run_words(words: list[str]) -> None:
    """Runs a program, one of our tools in a fork of this process."""
    print(f'\n$ {" ".join(words)}', flush=True)
    if words[0] == 'python':
        process = multiprocessing.get_context('fork').Process(target=_run_tool, args=[words[1:]])
        process.start()
        process.join(TIMEOUT)
        process.kill()
        process.join()
        status = process.exitcode
    else:
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
        environment = dict(os.environ, PATH=path, PYTHON=sys.executable, PORT=str(port))
        status = subprocess.run(words, env=environment, timeout=TIMEOUT, check=False).returncode
    if status:
        raise Problem(f'exit code {status}')


def _run_tool(arguments: list[str]) -> None:
    """In a process of its own: what ``python ARGUMENTS`` does."""
    sys.path.remove(str(ROOT / 'tests'))
    if arguments[0] == '-m':
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name='__main__', alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
        runpy.run_path(arguments[0], run_name='__main__')


def parse_bash(code: str, before: str = '') -> None:
    """Checks a command without running it: program, files, options, releases."""
    words = expand(code, before)
    while re.match(r'\w+=', words[0]):
        words.pop(0)
    if words[0] == 'taskset':
        words = words[3:]
    for word in words:
        if re.match(r'(tools|configs|tests|requirements)/', word) and not Path(word).exists():
            raise Problem(f'{word} does not exist')
    if words[0] == 'bash' and (launcher := re.match(r'tools/dist_(train|test)\.sh', words[1])):
        processes = 3 if launcher[1] == 'train' else 4
        words = ['python', f'tools/{launcher[1]}.py', *words[2:processes], *words[processes + 1 :]]
    elif words[0] == 'bash' and (launcher := re.match(r'tools/slurm_(train|test)\.sh', words[1])):
        work_dir = ['--work-dir'] if launcher[1] == 'train' else []
        words = ['python', f'tools/{launcher[1]}.py', words[4], *work_dir, *words[5:]]
    check = dict(python=parse_python, make=parse_make, pip=parse_install, mim=parse_install).get(words[0])
    if check:
        check(words[1:])
    elif words[0] not in NOT_RUN:
        raise Problem(f'{words[0]}: this program cannot be parsed')


class _Accepted(BaseException):
    """Raised in a tool as soon as its arguments are accepted."""


def parse_python(arguments: list[str]) -> None:
    """Whether a tool accepts its arguments and, where it takes one, the config loads with its options."""
    if arguments[0] == '-m':
        with contextlib.suppress(ModuleNotFoundError):
            if importlib.util.find_spec(arguments[1]):
                return
        raise Problem(f'there is no module {arguments[1]}')
    parse = argparse.ArgumentParser.parse_args

    def accept(*args, **kwargs):
        raise _Accepted(parse(*args, **kwargs))

    messages = io.StringIO()
    try:
        with (
            mock.patch.object(argparse.ArgumentParser, 'parse_args', accept),
            mock.patch.object(sys, 'argv', arguments),
            mock.patch.object(sys, 'path', [str(Path(arguments[0]).resolve().parent), *sys.path]),
            contextlib.redirect_stderr(messages),
        ):
            runpy.run_path(arguments[0], run_name='__main__')
        raise Problem('the tool has no parser of arguments')
    except _Accepted as accepted:
        values = vars(accepted.args[0])
    except SystemExit:
        raise Problem(messages.getvalue().strip().splitlines()[-1]) from None
    if 'cfg_options' in values and Path(values['config']).is_file():
        from mmengine.config import Config

        Config.fromfile(values['config']).merge_from_dict(values['cfg_options'] or {})


def parse_make(arguments: list[str]) -> None:
    """Whether make knows the target."""
    done = subprocess.run(['make', '-n', '-C', ROOT, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Problem(done.stderr.strip())


def parse_install(arguments: list[str]) -> None:
    """Whether releases are those of requirements/, and extras those of the package."""
    pinned = ''.join(path.read_text('utf-8') for path in ROOT.glob('requirements/*.txt'))
    for release in re.findall(r'[\w-]+==[\w.]+', ' '.join(arguments)):
        if release not in pinned.split():
            raise Problem(f'{release} is not what requirements/ pins')
    for extras in re.findall(r'\.\[([\w,]+)\]', ' '.join(arguments)):
        for extra in extras.split(','):
            if not re.search(rf'\b{extra}\b', (ROOT / 'setup.py').read_text('utf-8')):
                raise Problem(f'setup.py has no extra {extra}')


def run_python(block: Block, names: dict) -> None:
    """Runs a block of Python; ``names`` are those of the blocks before it.

    By ``exec``, since to run the project's own pages is what the check is for; nothing else comes here.
    """
    exec(compile(block.setup, f'{block.where()}, comment', 'exec'), names)
    code = '\n' * (block.line - 1) + block.prepared(block.code)  # so that a traceback has the page's lines
    exec(compile(code, str(block.page), 'exec'), names)


def build_config(block: Block) -> None:
    """Loads a block as a config, and builds the models, data sets and hooks that it sets."""
    from mmengine.config import Config
    from mmengine.registry import DATASETS, HOOKS, MODELS, DefaultScope

    path = Path('config_of_the_page.py')
    path.write_text(block.setup + block.prepared(block.code), 'utf-8')
    config, built = Config.fromfile(path), 0
    targets = [node.targets[0] for node in ast.parse(block.code).body if isinstance(node, ast.Assign)]
    assigned = {target.id for target in targets if isinstance(target, ast.Name)}
    with DefaultScope.overwrite_default_scope(config.get('default_scope', 'mmpretrain')):
        for key in assigned & {'model', 'backbone'}:
            MODELS.build(config[key]).init_weights()
            built += 1
        for hook in config.custom_hooks if 'custom_hooks' in assigned else ():
            HOOKS.build(hook)
            built += 1
        for key in assigned & {'train_dataloader', 'val_dataloader'}:
            DATASETS.build(config[key].dataset)[0]
            built += 1
    if not built:
        raise Problem('there is nothing in it to build')


def checks_of(page: Path, names: dict | None = None) -> Iterator[tuple[str, str, str, Callable[[], None]]]:
    """Everything that is checked in a page or a tool, in order.

    Args:
        page: The page or tool.
        names: Is filled with what the blocks of Python define.

    Yields:
        ``file:line``, manner, text, and the function that checks it in the working folder.
    """
    names = {} if names is None else names
    names['__name__'] = '__page__'
    for block in read_blocks(page) if page.suffix == '.md' else ():
        if block.language == 'python':
            check = partial(run_python, block, names) if block.manner == 'run' else partial(build_config, block)
            yield block.where(), block.manner, block.code, check
            continue
        if block.setup:
            yield block.where(), 'run', block.setup, partial(run_words, ['bash', '-e', '-c', block.setup])
        before = ''
        for line, command in block.commands():
            code = block.prepared(command)
            if re.fullmatch(r"\w+=('[^']*'|\S*)", code):  # for the commands that follow
                before += f'{code}\n'
                continue
            run = block.manner == 'run' and code.split()[0] not in NOT_RUN
            check = partial(run_bash if run else parse_bash, code, before)
            yield block.where(line), 'run' if run else 'parse', command, check
    for where, command in text_commands(page) if page.suffix == '.md' else docstring_commands(page):
        yield where, 'parse', command, partial(parse_bash, command)


def check_pages(workspace: Path, pages: list[Path], folder: Path) -> tuple[int, list[str]]:
    """Checks pages, or the docstrings of tools, in a folder of their own.

    Prints a line for each check; what the commands print goes to ``<folder>/log.txt``.

    Returns:
        The number of checks, and ``file:line: what and why`` of those that failed.
    """
    from docs_workspace import copy_workspace

    blocks = [block for page in pages if page.suffix == '.md' for block in read_blocks(page)]
    if problems := [problem for block in blocks for problem in problems_of(block)]:
        return len(problems), problems
    copy_workspace(workspace, folder)
    os.chdir(folder)
    os.environ['MMVIDMAE_CACHE'] = str(folder / '.cache')
    count = 0
    with os.fdopen(os.dup(1), 'w') as screen, open('log.txt', 'w+') as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        for where, manner, text, check in (check for page in pages for check in checks_of(page)):
            start, size, text = time.monotonic(), log.seek(0, os.SEEK_END), ' '.join(text.split())
            result = 'ok'
            try:
                check()
            except (Exception, SystemExit) as error:
                result = 'FAILED'
                why = str(error) if isinstance(error, Problem) else traceback.format_exc(limit=-2)
                sys.stdout.flush()
                log.seek(size)
                output = ''.join(f'    {line}' for line in log.readlines()[-15:])
                problems.append(f'{where}: {text}\n{why}\n{output}')
            count += 1
            seconds = f'{time.monotonic() - start:.1f} s'
            print(f'{where:<50} {manner:<6} {seconds:>8} {result:<6} {text[:80]}', file=screen, flush=True)
    return count, problems


def _make_workspace(root: Path) -> None:
    from docs_workspace import make_workspace

    make_workspace(root)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('pages', nargs='*', type=Path, help='pages or tools (default: all)')
    parser.add_argument('--jobs', type=int, default=2, help='pages at the same time (default: %(default)s)')
    parser.add_argument('--folder', type=Path, help='folder to work in, which is kept (default: a temporary one)')
    args = parser.parse_args(arguments)
    pages = [page.resolve() for page in args.pages] or PAGES
    groups = [[page] for page in sorted(pages, key=lambda page: -page.read_text('utf-8').count('```'))]  # longest first
    if not args.pages:
        groups.append(TOOLS)
    start = time.monotonic()
    problems = [problem for page in pages if page.suffix == '.md' for problem in broken_links(page)]
    count = 0
    with tempfile.TemporaryDirectory(prefix='docs-check-') as scratch:
        root = (args.folder or Path(scratch)).resolve()
        context = multiprocessing.get_context('forkserver')
        context.set_forkserver_preload(LIBRARIES)

        def in_own_process(function: Callable, *values):
            with ProcessPoolExecutor(1, context) as process:
                return process.submit(function, *values).result()

        in_own_process(_make_workspace, root / 'workspace')
        with ThreadPoolExecutor(args.jobs) as threads:
            folders = [root / str(number) for number in range(len(groups))]
            check = partial(in_own_process, check_pages, root / 'workspace')
            for number, found in threads.map(check, groups, folders):
                count += number
                problems += found
    print(*problems, sep='\n', file=sys.stderr)
    print(f'{count} commands and blocks in {time.monotonic() - start:.0f} s, {len(problems)} problems')
    return int(bool(problems))


if __name__ == '__main__':
    sys.exit(main())
