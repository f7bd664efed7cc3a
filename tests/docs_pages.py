"""What the pages of the documentation show: blocks of code, commands in the text, links.

A block of bash or Python has a comment in front of it that says how it is checked (docs_check.py):

    <!-- check: MANNER [TEXT=REPLACEMENT ...]
    code that comes first
    -->

``TEXT`` stands for what the reader puts there or what takes too long; it is quoted as in a shell. Manners:

- ``run``: the commands or the code are run. Commands that need the network or change the environment
  (``docs_check.NOT_RUN``) are parsed.
- ``parse``: the programs, files and options of the commands exist.
- ``config``: what the config builds is built.
"""

import ast
import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob('*.md')), *sorted(ROOT.glob('docs/**/*.md')), *sorted(ROOT.glob('configs/**/*.md'))]
MANNERS = {'bash': ('run', 'parse'), 'python': ('run', 'config')}
_FENCE = re.compile(r'^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```', re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r'<!-- check: (.*?)-->\s*\Z', re.DOTALL)


@dataclass
class Block:
    """A block of code of a page.

    Attributes:
        page: The page.
        line: The line of its first line, from 1.
        language: 'bash' or 'python'.
        code: What the page shows.
        manner: How it is checked; empty if the page does not say.
        replacements: Pairs of text of the page and what takes its place in the check.
        setup: Code that comes first in the check.
    """

    page: Path
    line: int
    language: str
    code: str
    manner: str = ''
    replacements: list[tuple[str, str]] = field(default_factory=list)
    setup: str = ''

    def where(self, line: int = 0) -> str:
        """``file:line`` of a line of the block, from 0."""
        return f'{_name(self.page)}:{self.line + line}'

    def prepared(self, code: str) -> str:
        """Code of the block as the check runs it."""
        for text, replacement in self.replacements:
            code = code.replace(text, replacement)
        return code

    def commands(self) -> Iterator[tuple[int, str]]:
        """The commands of a block of bash, each with the number of its first line in the block, from 0.

        Lines that belong together (a backslash, a here-document) are one command; comments are none.
        """
        lines = iter(enumerate(self.code.splitlines()))
        for number, line in lines:
            command = line
            while command.endswith('\\'):
                command += '\n' + next(lines)[1]
            if here := re.search(r"<<\s*'?(\w+)'?", command):
                while not command.endswith(f'\n{here[1]}'):
                    command += '\n' + next(lines)[1]
            if line.strip() and not line.lstrip().startswith('#'):
                yield number, command


def read_blocks(page: Path) -> list[Block]:
    """The blocks of bash and Python of a page.

    Raises:
        ValueError: The comment in front of a block is malformed; the message begins with ``file:line``.
    """
    text, blocks, end = page.read_text('utf-8'), [], 0
    for fence in _FENCE.finditer(text):
        before, end = text[end : fence.start()], fence.end()
        language = 'bash' if fence['language'] in ('sh', 'shell') else fence['language']
        if language not in MANNERS:
            continue
        block = Block(page, text.count('\n', 0, fence.start('code')) + 1, language, textwrap.dedent(fence['code']))
        if comment := _COMMENT.search(before):
            first, _, setup = comment[1].partition('\n')
            try:
                block.manner, *replacements = shlex.split(first)
            except ValueError as error:
                raise ValueError(f'{block.where()}: comment in front of the block: {error}') from None
            block.replacements = [tuple(pair.split('=', 1)) for pair in replacements]
            block.setup = textwrap.dedent(setup)
        blocks.append(block)
    return blocks


def problems_of(block: Block) -> Iterator[str]:
    """What is wrong with how a block is to be checked."""
    if not block.manner:
        yield f'{block.where()}: no comment in front of the block says how it is checked (tests/docs_pages.py)'
    elif block.manner not in MANNERS[block.language]:
        yield f'{block.where()}: {block.language} has no manner {block.manner!r}'
    for pair in block.replacements:
        if len(pair) != 2:
            yield f'{block.where()}: {pair[0]!r} in the comment is not TEXT=REPLACEMENT'
        elif pair[0] not in block.code:
            yield f'{block.where()}: {pair[0]!r}, which the comment replaces, is not in the block'


def text_commands(page: Path) -> Iterator[tuple[str, str]]:
    """``file:line`` and text of the commands that a page's text and tables show.

    They begin with python or make, or name a tool and its arguments.
    """
    for number, line in enumerate(_prose(page), 1):
        for code in re.findall(r'`([^`]+)`', line):
            if re.match(r'python (tools/|-m mmvidmae)|tools/\S+\.py .|make \w|taskset .* python ', code):
                yield f'{_name(page)}:{number}', re.sub(r'^tools/', 'python tools/', code)


def docstring_commands(tool: Path) -> Iterator[tuple[str, str]]:
    """``file:line`` and text of the commands that a tool's docstring shows under ``Example:``."""
    docstring = ast.get_docstring(ast.parse(tool.read_text('utf-8'))) or ''
    code = docstring.partition('Example:\n')[2] or docstring.partition('Examples:\n')[2]
    first = tool.read_text('utf-8').count('\n', 0, tool.read_text('utf-8').find('Example')) + 2
    for number, command in Block(tool, first, 'bash', textwrap.dedent(code.partition('\n\n')[0])).commands():
        yield f'{_name(tool)}:{first + number}', command


def broken_links(page: Path) -> Iterator[str]:
    """Relative links, pictures, and names of our files in a page that lead nowhere."""
    for number, line in enumerate(_prose(page), 1):
        where = f'{_name(page)}:{number}'
        for target in re.findall(r'\]\((?!https?:|mailto:)([^)\s]+)\)', line):
            name, _, anchor = target.partition('#')
            path = (page.parent / name).resolve() if name else page
            if not path.exists():
                yield f'{where}: link to {target}: there is no {name}'
            elif anchor and anchor not in _anchors(path / 'README.md' if path.is_dir() else path):
                yield f'{where}: link to {target}: there is no heading #{anchor}'
        for name in re.findall(r'`(?:\S+ )*((?:tools|configs|docs|tests|requirements|mmvidmae)/[\w./*-]+)', line):
            if not any(ROOT.glob(name.rstrip('/'))):
                yield f'{where}: {name} does not exist'


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT) if page.is_relative_to(ROOT) else page)


def _prose(page: Path) -> list[str]:
    """The lines of a page; those of blocks of code are empty."""
    text = _FENCE.sub(lambda fence: '\n' * fence[0].count('\n'), page.read_text('utf-8'))
    return text.splitlines()


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r'^#+ +(.+?) *$', '\n'.join(_prose(page)), re.MULTILINE) if page.is_file() else []
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}
