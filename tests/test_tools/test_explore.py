"""The explorer's page in a real browser (Chromium without a window), and what the program says to wrong arguments."""

import importlib
import os
import re
import shutil
import socket
import stat
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from mmvidmae.apis.explorer import SIAMMAE, Explorer, parse_models

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
PATIENCE = 120_000  # milliseconds, which only a hang reaches
UPLOAD = '[data-testid="Upload a video-upload-button"]'
NEEDS_GRADIO = 'needs gradio: make full, or pip install -r requirements/explorer.txt --no-deps'


@pytest.fixture(scope='module')
def folder(tmp_path_factory, write_video) -> Path:
    """Two clips, and beside the folder a file that is no clip."""
    root = tmp_path_factory.mktemp('explore')
    write_video(root / 'clips' / 'square.mp4', 60, height=96, width=128)
    write_video(root / 'clips' / 'other.mp4', 6, height=96, width=128, seed=1)
    (root / 'secret.txt').write_text('secret')
    (root / 'broken.mp4').write_bytes(b'this is no video' * 100)
    write_video(root / 'uploaded.mp4', 5, height=96, width=128, seed=2)
    return root


@pytest.fixture(scope='module')
def address(folder):
    """Address of a page with the small SiamMAE, at 96 pixels."""
    pytest.importorskip('gradio', reason=NEEDS_GRADIO)
    from mmvidmae.apis.explorer.page import Page

    page = Page(Explorer(folder / 'clips', parse_models([SIAMMAE], 'missing.safetensors'), 'missing.safetensors'), 96)
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    yield page.launch('127.0.0.1', port, block=False)
    page.blocks.close()


@pytest.fixture(scope='module')
def browser(address):
    """A page of Chromium, and the addresses that it asked for. One for all tests, which follow each other."""
    api = pytest.importorskip('playwright.sync_api', reason='needs playwright: make full')
    if CHROMIUM is None:
        pytest.skip('needs Chromium: apt-get install chromium')
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        page = chromium.new_page(viewport=dict(width=1400, height=900))
        page.set_default_timeout(PATIENCE)
        asked: list[str] = []
        errors: list[str] = []
        page.on('request', lambda request: asked.append(request.url))
        page.on('pageerror', lambda error: errors.append(str(error)))
        page.goto(address)
        page.wait_for_selector('#match-a img')
        yield SimpleNamespace(page=page, asked=asked, errors=errors, api=api)
        chromium.close()


def click_picture(page, name: str, x: float, y: float) -> None:
    """Click a picture at a share of its width and height."""
    picture = page.locator(f'#{name} img')
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    picture.click(position=dict(x=x * box['width'], y=y * box['height']))


def go_to(page, address: str, view: str, more: str = '') -> None:
    """Open a view by a link. Tests do not build on each other: they may run in two processes."""
    page.goto(f'{address}?view={view}&one={SIAMMAE}&two=none&clip=square.mp4&a=1&b=9&size=96{more}')


def open_view(page, name: str) -> None:
    page.get_by_role('tab', name=name).click()


def link_of(page, view: str) -> dict[str, str]:
    """Fields of the link when it is that of a view."""
    page.wait_for_function(f"document.querySelector('#link textarea').value.includes('view={view}&')")
    link = page.locator('#link textarea').input_value()
    assert urlsplit(link).hostname == '127.0.0.1'
    return {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}


def draw_and_add(page, expected: str = 'regions=') -> None:
    """Draw in the editor and add it. The editor has no sign that it is ready, and what is drawn before is lost."""
    canvas = page.locator('#editor canvas').first
    canvas.wait_for()
    for _ in range(20):
        page.wait_for_timeout(1000)
        box = canvas.bounding_box()
        x, y = box['x'] + box['width'] / 2, box['y'] + box['height'] / 2
        page.mouse.move(x - 10, y)
        page.mouse.down()
        page.mouse.move(x + 10, y + 10, steps=5)
        page.mouse.up()
        page.wait_for_timeout(500)
        page.click('#add-region')
        page.wait_for_timeout(1000)
        if expected in page.locator('#link textarea').input_value():
            return
    raise AssertionError('nothing could be drawn')


def value_of(page, name: str) -> str:
    return page.locator(f'#{name} :is(input, textarea)').first.input_value()


def test_a_click_finds_the_matches_and_gives_a_link(browser, address):
    page = browser.page
    page.goto(address)
    page.wait_for_selector('#match-a img')
    click_picture(page, 'match-a', 0.5, 0.25)
    page.wait_for_selector('#match-b0 img')
    page.wait_for_selector('#match-text:has-text("cosine")')
    page.wait_for_function("document.querySelector('#link textarea').value.includes('point=')")
    link = link_of(page, 'match')
    assert link['clip'] == 'other.mp4'
    assert link['one'] == SIAMMAE
    x, y = map(float, link['point'].split())
    assert (x, y) == (pytest.approx(64, abs=2), pytest.approx(24, abs=2)), 'in pixels of the frame'
    assert page.url == page.locator('#link textarea').input_value()


def test_a_picture_can_be_saved(browser, address, tmp_path):
    page = browser.page
    go_to(page, address, 'match', '&point=40+30&layer=-1&head=all')
    page.wait_for_selector('#match-b0 img')
    with page.expect_download() as download:
        page.locator('#match-b0 [aria-label*="ownload"], #match-b0 [title*="ownload"]').first.click()
    download.value.save_as(tmp_path / 'saved.png')
    assert (tmp_path / 'saved.png').read_bytes().startswith(b'\x89PNG')


def test_a_link_restores_its_view(browser, address):
    """Layer, head, frames and clip are those of the link, and the matches are there without a click."""
    page = browser.page
    query = f'view=match&one={SIAMMAE}&two=none&clip=square.mp4&a=1&b=9&size=96&point=40+30&layer=-2&head=1'
    page.goto(f'{address}?{query}')
    page.wait_for_selector('#match-text:has-text("cosine")')
    page.wait_for_function("document.querySelector('#link textarea').value.includes('layer=-2')")
    assert urlsplit(page.locator('#link textarea').input_value()).query == query
    assert value_of(page, 'clip') == 'square.mp4'
    assert (value_of(page, 'a'), value_of(page, 'b')) == ('1', '9')


def test_a_drawn_mask_is_propagated_and_restored_by_its_link(browser, address):
    page = browser.page
    go_to(page, address, 'propagate')
    draw_and_add(page)
    page.click('#run-propagate')
    page.wait_for_selector('#propagate-text:has-text("Frame 9 of 1 to 9. Done.")')
    page.wait_for_selector('#propagated0 img')
    page.wait_for_function("document.querySelector('#link textarea').value.includes('regions=')")
    link = link_of(page, 'propagate')
    assert link['regions'].startswith('1:1:')

    page.goto(page.locator('#link textarea').input_value())
    page.wait_for_selector('#propagate-text:has-text("Done.")')
    page.wait_for_selector('#propagated0 img')
    assert link_of(page, 'propagate') == link


def test_a_propagation_can_be_stopped_corrected_and_goes_on(browser, address):
    page = browser.page
    page.goto(
        f'{address}?view=propagate&one={SIAMMAE}&two=none&clip=square.mp4&a=0&b=59&size=96&regions=0:1:30_30_70_70'
    )
    page.wait_for_selector('#propagate-text:has-text("Stop, and correct any frame")')
    page.locator('#stop-propagate').dispatch_event('click')
    page.wait_for_timeout(3000)
    text = page.locator('#propagate-text').inner_text()
    assert 'Done' not in text
    page.wait_for_timeout(1000)
    assert page.locator('#propagate-text').inner_text() == text, 'it has stopped'
    stopped = int(re.search(r'Frame (\d+) of', text)[1])
    page.click('#correct')
    page.wait_for_function(f"document.querySelector('#a input').value == '{stopped}'")
    draw_and_add(page, f';{stopped}:1:')
    page.click('#run-propagate')
    page.wait_for_selector('#propagate-text:has-text("Frame 59 of 0 to 59. Done.")')


def test_two_clicks_give_a_box_that_is_tracked_and_costs_are_listed(browser, address):
    page = browser.page
    go_to(page, address, 'track')
    page.wait_for_selector('#track-a img')
    click_picture(page, 'track-a', 0.25, 0.25)
    page.wait_for_function("document.querySelector('#box :is(input, textarea)').value.split(' ').length == 2")
    click_picture(page, 'track-a', 0.5, 0.5)
    page.wait_for_function("document.querySelector('#box :is(input, textarea)').value.split(' ').length == 4")
    assert [float(number) for number in value_of(page, 'box').split()] == pytest.approx([32, 24, 32, 24], abs=2)
    page.click('#run-track')
    page.wait_for_selector('#track-text:has-text("frame 9 of 1 to 9")')
    page.wait_for_selector('#tracked0 img')
    open_view(page, 'Time and memory')
    page.wait_for_selector('#costs-table:has-text("encode a frame, all layers")')
    page.wait_for_selector('#costs-table:has-text("track in a frame")')


def test_the_decoder_shows_attention_and_reconstructs(browser, address):
    page = browser.page
    go_to(page, address, 'attention')
    page.click('#hide')
    page.wait_for_selector('#hidden0 img')
    page.wait_for_selector('#attention-text:has-text("click a hidden patch")')
    open_view(page, 'Reconstruct')
    page.click('#run-reconstruct')
    page.wait_for_selector('#reconstructed0 img')
    assert 'error' in page.locator('#reconstruct-text').inner_text()


def test_uploads_are_checked(browser, address, folder):
    page = browser.page
    go_to(page, address, 'match')
    page.wait_for_function("document.querySelector('#clip input')?.value == 'square.mp4'")
    page.set_input_files(UPLOAD, folder / 'broken.mp4')
    page.wait_for_selector('text=broken.mp4 cannot be read')
    assert value_of(page, 'clip') == 'square.mp4'
    page.set_input_files(UPLOAD, folder / 'uploaded.mp4')
    page.wait_for_function("document.querySelector('#clip input').value == 'uploaded/uploaded.mp4'")


def test_what_is_missing_or_wrong_is_said(browser, address):
    page = browser.page
    page.click('#dinov2')
    page.wait_for_selector('text=python tools/model_converters/get_dinov2.py missing.safetensors')
    page.goto(f'{address}?view=match&clip=../secret.txt')
    page.wait_for_selector('text=The link cannot be restored')
    page.wait_for_selector('#match-a img')


def test_no_other_host_is_asked_and_the_page_has_no_errors(browser):
    """After the tests above."""
    hosts = {urlsplit(url).hostname for url in browser.asked if urlsplit(url).scheme not in ('data', 'blob')}
    assert hosts == {'127.0.0.1'}
    assert not browser.errors


def test_pictures_are_kept_for_this_user_only(browser):
    files = Path(os.environ['GRADIO_TEMP_DIR'])
    assert files.name.startswith('mmvidmae-explorer-')
    assert stat.S_IMODE(files.stat().st_mode) == 0o700
    assert any(path.is_file() for path in files.rglob('*'))


def test_files_outside_the_folder_are_not_served(address, folder):
    for path in (folder / 'secret.txt', ROOT / 'setup.py', Path('/etc/hostname'), folder / 'clips/../secret.txt'):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f'{address}gradio_api/file={path}', timeout=30)
        assert refused.value.code in (403, 404)


@pytest.fixture
def run(monkeypatch, capsys):
    """A function that runs the program with arguments that are wrong, and returns its last line."""
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    program = importlib.import_module('explore')

    def call(*arguments) -> str:
        monkeypatch.setattr(sys, 'argv', ['explore.py', *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            program.main()
        assert left.value.code == 2
        return capsys.readouterr().err.splitlines()[-1]

    return call


def test_a_port_in_use_is_said(run, folder):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        message = run(folder / 'clips', '--port', taken.getsockname()[1])
    assert 'already in use' in message
    assert '--port' in message


def test_gradio_that_is_missing_is_said(run, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    monkeypatch.delitem(sys.modules, 'mmvidmae.apis.explorer.page', raising=False)
    assert "pip install 'mmvidmae[explorer]'" in run(folder / 'clips', '--port', 0)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['FOLDER/nowhere'], 'there is no file or folder'),
        (['FOLDER/secret.txt'], 'is no video'),
        (['FOLDER/broken.mp4'], 'broken.mp4'),
        (['configs/none.py', 'none.pth', 'FOLDER/clips'], 'none.pth is not there: give the checkpoint'),
        (['siammae_vit-small-p16_16xb64-amp-coslr-400e_k400', 'FOLDER/clips'], 'give its checkpoint after it'),
        (['dinov2-small', 'FOLDER/clips', '--dinov2', 'none.safetensors'], 'get_dinov2.py none.safetensors'),
        (['vit-small-p16_dino_davis2017', 'SMALL', 'FOLDER/clips'], 'does not fit'),
    ],
)
def test_wrong_arguments_are_said_in_one_line(run, folder, arguments, message):
    pytest.importorskip('gradio', reason=NEEDS_GRADIO)
    small = ROOT / 'configs/small/weights/siammae_small-bb628bb5.safetensors'
    arguments = [word.replace('FOLDER', str(folder)).replace('SMALL', str(small)) for word in arguments]
    assert message in run(*arguments, '--port', 0)
