"""The page of the explorer, made with Gradio."""

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, wraps
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'  # read when Gradio is imported
os.environ.setdefault('HF_HUB_OFFLINE', '1')

import gradio as gr
import numpy as np

from mmvidmae.compat.gradio_pictures import write_pictures_once
from mmvidmae.compat.uvicorn_logging import keep_log_files
from mmvidmae.datasets import VideoReadError
from mmvidmae.visualization import draw_masks, draw_reconstructions, mark_point

from ..model_zoo import list_models
from .encoders import DINOV2, SIAMMAE, ModelSource
from .explorer import Explorer, shrink
from .pictures import (
    describe_matches,
    draw_attention,
    draw_corners,
    draw_hidden,
    draw_matches,
    draw_regions,
    draw_tracked,
)
from .prompts import NUM_OBJECTS, Region, bounds_of, format_regions, outlines_of, parse_regions

FILES = TemporaryDirectory(prefix='mmvidmae-explorer-')
"""Pictures that were shown, and uploads: for this user only, deleted at exit. Gradio's own folder would be kept."""

os.environ.setdefault('GRADIO_TEMP_DIR', FILES.name)
write_pictures_once()

VIEWS = dict(
    match='Correspondence',
    attention='Decoder attention',
    propagate='Propagate',
    track='Track',
    reconstruct='Reconstruct',
    costs='Time and memory',
)
"""Views by their name in links."""

COMMON = ('one', 'two', 'clip', 'a', 'b', 'size')
OWN = dict(
    match=('point', 'layer', 'head'),
    attention=('patch', 'decoder_layer', 'decoder_head', 'seed', 'masking', 'past', 'future'),
    propagate=('regions',),
    track=('box',),
    reconstruct=('seed', 'masking', 'past', 'future'),
    costs=(),
)
"""Fields of a link: those of all views, and those of each view."""

PICTURE = 480
"""Largest short side of a picture in pixels."""

NONE, ALL = 'none', 'all'
HEADS = [ALL, *map(str, range(16))]
TRAINED, CHOSEN = 'as in training', 'chosen'
MASK, BOX = 'mask', 'box around it'

THEME = gr.themes.Base(
    primary_hue='blue', spacing_size='sm', text_size='sm', font=['system-ui', 'sans-serif'], font_mono=['monospace']
)
CSS = """
.gradio-container {max-width: none !important; padding: 8px 16px !important}
#title h1 {font-size: 1.25rem; margin: 0}
#side {max-width: 320px}
footer {display: none !important}
"""
QUIET: dict[str, Any] = dict(show_progress='hidden')
CLICK: dict[str, Any] = dict(show_progress='hidden', trigger_mode='multiple')  # no click is lost while one is answered

SHOW_LINK = "(query) => { history.replaceState(null, '', query); return location.href }"

Picture = np.ndarray | None


def explained(function: Callable) -> Callable:
    """Make a user's mistake a message on the page."""
    mistakes = (OSError, ValueError, VideoReadError)

    def tell(error: Exception) -> Exception:
        return gr.Error(str(error).splitlines()[0], duration=15, print_exception=False)

    if inspect.isgeneratorfunction(function):

        @wraps(function)
        def step_by_step(*args):
            try:
                yield from function(*args)
            except mistakes as error:
                raise tell(error) from error

        return step_by_step

    @wraps(function)
    def at_once(*args):
        try:
            return function(*args)
        except mistakes as error:
            raise tell(error) from error

    return at_once


class Page:
    """The page.

    Args:
        explorer: What it shows.
        short_side: Short side of inputs and pictures at first.
        add_models: Whether models of the model index can be added on the page with any checkpoint of this computer.
    """

    def __init__(self, explorer: Explorer, short_side: int = 480, add_models: bool = True) -> None:
        self.explorer = explorer
        self.short_side = short_side
        self.fields: dict[str, Any] = {}
        self.tab: dict[str, gr.Tab] = {}
        self.masks: list[dict[str, Any]] = []
        self.attention_rows: list[tuple] = []
        with gr.Blocks(title='mmvidmae explorer', analytics_enabled=False, fill_width=True) as self.blocks:
            gr.Markdown('# mmvidmae explorer', elem_id='title')
            with gr.Row():
                with gr.Column(scale=1, min_width=280, elem_id='side'):
                    self._make_side(add_models)
                with gr.Column(scale=4):
                    self.view = gr.State('match')
                    with gr.Tabs(selected='match') as self.tabs:
                        for view, label in VIEWS.items():
                            with gr.Tab(label, id=view, elem_id=f'tab-{view}') as self.tab[view]:
                                getattr(self, f'_make_{view}')()
            self._connect()

    def launch(self, host: str, port: int, block: bool = True, open_browser: bool = False) -> str:
        """Serve the page. Returns its address."""
        # Gradio looks at its own page once: not through a proxy
        os.environ['NO_PROXY'] = os.environ['no_proxy'] = ','.join(
            filter(None, (os.environ.get('NO_PROXY'), '127.0.0.1,localhost'))
        )
        self.blocks.queue(default_concurrency_limit=1)
        with keep_log_files():
            _, address, _ = self.blocks.launch(
                server_name=host,
                server_port=port,
                prevent_thread_lock=not block,
                inbrowser=open_browser,
                share=False,
                quiet=True,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                enable_monitoring=False,
                max_file_size='2gb',
                footer_links=[],
                theme=THEME,
                css=CSS,
            )
        return address

    # Making

    def _field(self, name: str, component: Any) -> Any:
        self.fields[name] = component
        return component

    def _make_side(self, add_models: bool) -> None:
        explorer = self.explorer
        names = list(explorer.sources)
        chosen = [*explorer.chosen, None, None]
        clip = explorer.clips[0]
        with gr.Group():
            self.one = self._field('one', gr.Dropdown(names, value=chosen[0], label='Model', elem_id='one'))
            self.two = self._field(
                'two', gr.Dropdown([NONE, *names], value=chosen[1] or NONE, label='Beside it', elem_id='two')
            )
        with gr.Row():
            self.small = gr.Button('Small SiamMAE', size='sm', elem_id='small-siammae', min_width=80)
            self.dinov2 = gr.Button('DINOv2-S', size='sm', elem_id='dinov2', min_width=80)
        with gr.Accordion('Another model', open=False, visible=add_models):
            self.config = gr.Dropdown(list_models(), value=None, label='Name in the model index')
            self.checkpoint = gr.Textbox('', label='Checkpoint', placeholder='work_dirs/.../epoch_400.pth')
            self.add = gr.Button('Load', size='sm')
        with gr.Group():
            self.clip = self._field('clip', gr.Dropdown(explorer.clips, value=clip, label='Clip', elem_id='clip'))
            last = explorer.length(clip) - 1
            self.a = self._field('a', gr.Slider(0, last, 0, step=1, label='Frame A (first, past)', elem_id='a'))
            self.b = self._field(
                'b', gr.Slider(0, last, min(last, 12), step=1, label='Frame B (last, future)', elem_id='b')
            )
            self.size = self._field(
                'size', gr.Slider(64, 1080, self.short_side, step=8, label='Short side of inputs', elem_id='size')
            )
        self.upload = gr.UploadButton('Upload a video', size='sm', file_types=['video'], elem_id='upload')
        self.link = gr.Textbox(
            label='Link to this view', buttons=['copy'], interactive=False, elem_id='link', max_lines=3
        )

    def _make_match(self) -> None:
        with gr.Row():
            self.point = self._field('point', gr.Textbox('', label='Point in frame A: x y', elem_id='point'))
            self.layer = self._field('layer', gr.Slider(-12, -1, -1, step=1, label='Layer (-1: the last)'))
            self.head = self._field(
                'head',
                gr.Dropdown(HEADS, value=ALL, label='Head (its keys; all: the output)', elem_id='head'),
            )
        with gr.Row():
            with gr.Column(min_width=200):
                self.match_a = picture('Frame A: click a point', 'match-a')
                self.match_text = gr.Markdown(elem_id='match-text')
            with gr.Column(min_width=200):
                self.match_b = [picture('Frame B', f'match-b{i}', visible=not i) for i in range(2)]

    def _make_attention(self) -> None:
        with gr.Row():
            self.patch = self._field('patch', gr.Textbox('', label='Patch of the future frame: x y, 0 to 1'))
            self.decoder_layer = self._field(
                'decoder_layer', gr.Slider(-8, -1, -1, step=1, label='Decoder layer (-1: the last)')
            )
            self.decoder_head = self._field('decoder_head', gr.Dropdown(HEADS, value=ALL, label='Head (all: the mean)'))
        self._make_masking()
        for i in range(2):
            with gr.Row(visible=not i) as row:
                hidden = picture('Frame B: click a hidden patch', f'hidden{i}')
                maps = picture('Attention (scale: square root)', f'attention{i}', scale=2)
            self.attention_rows.append((row, hidden, maps))
        self.attention_text = gr.Markdown(elem_id='attention-text')
        self.hide = gr.Button('Hide patches', variant='primary', elem_id='hide')

    def _make_masking(self) -> None:
        """Fields of the mask, which two views share."""
        with gr.Row():
            masking = gr.Radio([TRAINED, CHOSEN], value=TRAINED, label='Hidden share')
            past = gr.Slider(0, 0.99, 0.0, step=0.01, label='of the past frame')
            future = gr.Slider(0, 0.99, 0.95, step=0.01, label='of the future frame')
            seed = gr.Number(0, precision=0, minimum=0, label='Seed of the mask')
        self.masks.append(dict(seed=seed, masking=masking, past=past, future=future))

    def _make_propagate(self) -> None:
        objects = [str(i + 1) for i in range(NUM_OBJECTS)]
        with gr.Row():
            self.object = gr.Radio(objects, value='1', label='Object', elem_id='object', min_width=200)
            self.shape = gr.Radio([MASK, BOX], value=MASK, label='What you draw is its', elem_id='shape', min_width=220)
            with gr.Column(scale=2, min_width=360):
                with gr.Row():
                    self.draw = gr.Button('Add', size='sm', elem_id='add-region', min_width=60)
                    self.propagate = gr.Button(
                        'Propagate to B', size='sm', variant='primary', elem_id='run-propagate', min_width=110
                    )
                    self.stop = gr.Button('Stop', size='sm', variant='stop', elem_id='stop-propagate', min_width=60)
                with gr.Row():
                    self.correct = gr.Button('Correct the shown frame', size='sm', elem_id='correct', min_width=160)
                    self.clear = gr.Button('Clear', size='sm', elem_id='clear', min_width=60)
        with gr.Row():
            with gr.Column(min_width=200):
                self.editor = gr.ImageEditor(
                    label='Frame A: draw with the brush',
                    type='numpy',
                    format='png',
                    sources=(),
                    transforms=(),
                    layers=False,
                    buttons=['download', 'fullscreen'],
                    brush=gr.Brush(default_size=18, colors=['#ff3030'], color_mode='fixed'),
                    eraser=gr.Eraser(default_size=18),
                    elem_id='editor',
                )
                self.propagate_text = gr.Markdown(elem_id='propagate-text')
                with gr.Accordion('What is drawn, as text', open=False):
                    self.regions = self._field(
                        'regions', gr.Textbox('', label='FRAME:OBJECT:x_y_x_y ...', elem_id='regions')
                    )
            with gr.Column(min_width=200):
                self.propagated = [picture('Result', f'propagated{i}', visible=not i) for i in range(2)]
                self.at = gr.Slider(0, 1, 0, step=1, label='Shown frame', elem_id='at')

    def _make_track(self) -> None:
        with gr.Row(equal_height=True):
            self.box = self._field('box', gr.Textbox('', label='Box: x y w h', elem_id='box', scale=3))
            self.track = gr.Button('Track to B', variant='primary', elem_id='run-track', min_width=100)
            self.stop_track = gr.Button('Stop', variant='stop', min_width=80)
        with gr.Row():
            with gr.Column(min_width=200):
                self.track_a = picture('Frame A: click two corners of the box', 'track-a')
                self.track_text = gr.Markdown(elem_id='track-text')
            with gr.Column(min_width=200):
                self.tracked = [picture('Result', f'tracked{i}', visible=not i) for i in range(2)]

    def _make_reconstruct(self) -> None:
        self._make_masking()
        self.reconstruct = gr.Button('Reconstruct', variant='primary', elem_id='run-reconstruct')
        self.reconstructed = [picture('Reconstruction', f'reconstructed{i}', visible=not i) for i in range(2)]
        self.reconstruct_text = gr.Markdown(elem_id='reconstruct-text')

    def _make_costs(self) -> None:
        headers = ['step', 'model', 'seconds', 'CPU seconds', 'largest MiB']
        self.table = gr.Dataframe(headers=headers, interactive=False, elem_id='costs-table', wrap=True)
        self.refresh_costs = gr.Button('Show the steps so far', variant='primary', elem_id='costs')
        gr.Markdown(
            'Means over the repetitions of a step, without the steps inside it. CPU seconds are those of all threads. '
            'MiB is the largest memory during the step above that before it.'
        )

    # Connecting

    def _connect(self) -> None:
        self.masking = self.masks[0]
        for name, field in self.masking.items():
            self._field(name, field)
            other = self.masks[1][name]  # both views have the same mask
            field.input(lambda value: value, field, other, **QUIET)
            other.input(lambda value: value, other, field, **QUIET)
        common = [self.fields[name] for name in COMMON]
        frames = [self.match_a, self.editor, self.track_a]
        own = [self.point, self.regions, self.box]
        visible = [*self.match_b, *(row for row, _, _ in self.attention_rows), *self.propagated, *self.tracked]
        visible += self.reconstructed

        match = ([*common, self.point, self.layer, self.head], [*self.match_b, self.match_text])
        attention = (
            [*common, self.patch, self.decoder_layer, self.decoder_head, *self.masking.values()],
            [part for _, *row in self.attention_rows for part in row] + [self.attention_text],
        )
        results = [*self.propagated, self.at, self.propagate_text]
        propagate = (
            [*common, self.regions, self.object, self.shape, self.editor],
            [self.regions, self.editor, *results],
        )
        track = ([*common, self.box], [*self.tracked, self.track_text])
        reconstruct = ([*common, *self.masking.values()], [*self.reconstructed, self.reconstruct_text])
        refresh = ([self.view, *common, *own], frames)
        runs: dict[str, tuple[Callable, list, list]] = dict(
            match=(self.run_match, *match),
            attention=(self.run_attention, *attention),
            propagate=(self.run_propagate, *propagate),
            track=(self.run_track, *track),
            reconstruct=(self.run_reconstruct, *reconstruct),
        )

        def in_view(view: str) -> tuple:
            """The run of a view, which does nothing in another one."""
            function, inputs, outputs = runs[view]

            def run(now, *values):
                if now != view:
                    yield gr.skip()
                elif inspect.isgeneratorfunction(function):
                    yield from function(*values)
                else:
                    yield function(*values)

            return explained(run), [self.view, *inputs], outputs

        def again(event: Any, *views: str) -> dict[str, Any]:
            """After an event, draw the frames, and run what is cheap and shown. Returns the runs."""
            drawn = event.success(explained(self.draw_frames), *refresh, **QUIET)
            started = {view: drawn.success(*in_view(view), show_progress='minimal') for view in views}
            self._linked(drawn)
            return started

        # what is chosen at the side
        again(self.clip.input(explained(self.choose_clip), self.clip, [self.a, self.b, *own], **QUIET), 'match')
        outputs = [self.clip, self.a, self.b, *own]
        again(self.upload.upload(explained(self.upload_clip), self.upload, outputs, **QUIET), 'match')
        for slider in (self.a, self.b, self.size):
            again(slider.release(lambda: None, None, None, **QUIET), 'match')
        models = (explained(self.choose_models), [self.one, self.two], [*visible, self.layer])
        for dropdown in (self.one, self.two):
            again(dropdown.input(*models, **QUIET), 'match')
        for button, name in ((self.small, SIAMMAE), (self.dinov2, DINOV2)):
            load = partial(explained(self.load_small), name)
            again(button.click(load, None, self.one, **QUIET).success(*models, **QUIET), 'match')
        added = self.add.click(explained(self.add_model), [self.config, self.checkpoint], [self.one, self.two])
        again(added.success(*models, **QUIET), 'match')
        for view, tab in self.tab.items():
            again(tab.select(partial(str, view), None, self.view, **QUIET))
        self.tab['costs'].select(self.show_costs, None, self.table, **QUIET)

        # the views
        clicked = self.match_a.select(explained(self.click_point), common, [self.point, self.match_a], **CLICK)
        self._linked(clicked.success(explained(self.run_match), *match, show_progress='minimal'))
        for event in (self.layer.release, self.head.input, self.point.submit):
            self._linked(event(explained(self.run_match), *match, show_progress='minimal'))

        for event in (self.hide.click, self.decoder_layer.release, self.decoder_head.input, self.patch.submit):
            self._linked(event(explained(self.run_attention), *attention))
        for _, hidden, _ in self.attention_rows:
            clicked = hidden.select(explained(self.click_patch), hidden, self.patch, **CLICK)
            self._linked(clicked.success(explained(self.run_attention), *attention, show_progress='minimal'))

        drawn = [self.regions, self.editor]
        self._linked(self.draw.click(explained(self.add_region), propagate[0], drawn, **QUIET))
        run = self.propagate.click(explained(self.run_propagate), *propagate, show_progress='minimal')
        self._linked(run)
        to_stop = [(self.stop, run, 'propagate')]
        shown = ([*common, self.regions, self.at], self.propagated)
        self.at.release(explained(self.show_propagated), *shown, **QUIET)
        again(self.correct.click(lambda at: at, self.at, self.a, **QUIET))
        again(self.clear.click(lambda: ('', None, None), None, [self.regions, *self.propagated], **QUIET))

        self.track_a.select(explained(self.click_corner), [*common, self.box], [self.box, self.track_a], **CLICK)
        run = self.track.click(explained(self.run_track), *track, show_progress='minimal')
        self._linked(run)
        to_stop.append((self.stop_track, run, 'track'))

        self._linked(self.reconstruct.click(explained(self.run_reconstruct), *reconstruct))
        self.refresh_costs.click(self.show_costs, None, self.table, **QUIET)

        # a link restores its view
        outputs = [self.tabs, self.view, *self.fields.values(), *self.masks[1].values()]
        restored = self.blocks.load(self.restore, None, outputs, **QUIET)
        started = again(restored.success(*models, **QUIET), *runs)
        for button, run, view in to_stop:
            self._linked(button.click(None, None, None, cancels=[run, started[view]]))

    def _linked(self, event: Any) -> None:
        """After an event, show the link of the view, also as the page's address."""
        inputs = [self.view, *self.fields.values()]
        event.then(self.make_link, inputs, self.link, **QUIET).then(None, self.link, self.link, js=SHOW_LINK)

    # Choosing

    def choose_clip(self, clip: str) -> list:
        """A clip: its frames, and nothing that was drawn in another one."""
        last = self.explorer.length(clip) - 1
        return [gr.Slider(maximum=last, value=0), gr.Slider(maximum=last, value=min(last, 12)), '', '', '']

    def upload_clip(self, path: str) -> list:
        """An uploaded clip."""
        name = self.explorer.add_clip(path)
        return [gr.Dropdown(choices=self.explorer.clips, value=name), *self.choose_clip(name)]

    def choose_models(self, one: str | None, two: str | None) -> list:
        """Load the models; the pictures of the second one are there if it is."""
        layers = [self.explorer.model(name).num_layers for name in chosen_models(one, two)]
        second = gr.update(visible=len(layers) > 1)
        return [gr.update(), second] * 5 + [gr.Slider(minimum=-max(layers, default=12))]

    def load_small(self, name: str) -> str:
        """One of the small models."""
        self.explorer.model(name)
        return name

    def add_model(self, config: str | None, checkpoint: str) -> list:
        """A model of the model index with a checkpoint."""
        if not config or not checkpoint.strip():
            raise ValueError('choose a name of the model index, and type the path of its checkpoint')
        checkpoint = checkpoint.strip()
        name = self.explorer.add_model(ModelSource(f'{config} ({os.path.basename(checkpoint)})', config, checkpoint))
        names = list(self.explorer.sources)
        return [gr.Dropdown(choices=names, value=name), gr.Dropdown(choices=[NONE, *names])]

    def draw_frames(self, view: str, one, two, clip, a, b, size, point: str, regions: str, box: str) -> Iterator[list]:
        """Frame A for all views. Then the features are computed, so that a click is answered at once."""
        frame = self.explorer.frame(clip, a)
        match_a = mark_point(frame, *numbers_of(point, 2)) if point else frame
        track_a = draw_corners(frame, numbers_of(box, 2, 4)) if box else frame
        yield [shrink(match_a, PICTURE), self._sheet(one, clip, a, size, regions), shrink(track_a, PICTURE)]
        if view == 'match':
            for name in chosen_models(one, two):
                for number in (a, b):
                    self.explorer.features(name, clip, number, size)

    def _sheet(self, one, clip, a, size, text: str) -> dict:
        """Frame A to draw on, with what is drawn and the result of the first model."""
        regions = parse_regions(text)
        ids = None
        if regions and one and self.explorer.model(one).propagator is not None:
            ids = self.explorer.propagation(one, clip, regions, size).masks.get(a)
        frame = self.explorer.frame(clip, a)
        drawn = draw_regions(frame, [region for region in regions if region.frame == a], ids)
        return dict(background=shrink(drawn, PICTURE), layers=[], composite=None)

    # Correspondence

    def click_point(self, one, two, clip, a, b, size, event: gr.SelectData) -> list:
        """A click in frame A, in pixels of the picture."""
        frame = self.explorer.frame(clip, a)
        x, y = self._place(event, frame)
        return [f'{x:.5g} {y:.5g}', shrink(mark_point(frame, x, y), PICTURE)]

    def _place(self, event: gr.SelectData, frame: np.ndarray) -> tuple[float, float]:
        """Position of a click in pixels of the frame: the middle of the clicked pixel of the picture."""
        height, width = shrink(frame, PICTURE).shape[:2]
        return (event.index[0] + 0.5) / width * frame.shape[1], (event.index[1] + 0.5) / height * frame.shape[0]

    def run_match(self, one, two, clip, a, b, size, point: str, layer: int, head: str) -> list:
        """Similarity of the point and frame B, for each model."""
        if not point:
            return [None, None, 'Click a point in frame A.']
        names = self._models(one, two)
        x, y = numbers_of(point, 2)
        frame = self.explorer.frame(clip, b)
        pictures: list[Picture] = []
        lines = []
        for name in names:
            which = None if head == ALL else int(head)
            found = self.explorer.match(name, clip, (a, b), (x, y), size, layer, which)
            pictures.append(draw_matches(shrink(frame, PICTURE), found))
            lines.append(f'**{name}**: {describe_matches(found, frame.shape[:2])}')
        return [*padded(pictures, names), '\n\n'.join(lines)]

    # Decoder attention

    def click_patch(self, picture: np.ndarray, event: gr.SelectData) -> str:
        """A click in the masked frame."""
        height, width = picture.shape[:2]
        return f'{(event.index[0] + 0.5) / width:.4f} {(event.index[1] + 0.5) / height:.4f}'

    def run_attention(
        self, one, two, clip, a, b, size, place: str, layer: int, head: str, seed, masking, past, future
    ) -> list:
        """Attention of the decoder, for each model that has one."""
        pictures: list[Picture] = []
        lines = []
        ratio = None if masking == TRAINED else (past, future)
        for name in self._models(one, two):
            pair = None
            try:
                pair = self.explorer.hidden_patches(name, clip, (a, b), int(seed), ratio)
                patch = None
                if place:
                    patch = pair.patch_at(*numbers_of(place, 2))
                    weights = pair.weights(patch, layer, None if head == ALL else int(head))
                pictures += [draw_hidden(pair, patch), None if patch is None else draw_attention(pair, patch, weights)]
                lines.append(f'**{name}**' + ('' if place else ': click a hidden patch, which is gray.'))
            except ValueError as error:  # the other model may have what this one lacks
                pictures += [None if pair is None else draw_hidden(pair, None), None]
                lines.append(f'**{name}**: {error}.')
        return [*pictures, *[None] * (4 - len(pictures)), '\n\n'.join(lines)]

    # Propagation

    def add_region(self, one, two, clip, a, b, size, text: str, number: str, shape: str, sheet: dict | None) -> list:
        """Add what is drawn in frame A to the regions."""
        regions = parse_regions(text)
        drawn = drawn_mask(sheet)
        if drawn is None:
            raise ValueError('nothing is drawn: draw over the object in frame A with the brush')
        frame = self.explorer.frame(clip, a)
        scale = (frame.shape[1] / drawn.shape[1], frame.shape[0] / drawn.shape[0])
        outlines = outlines_of(drawn, scale) if shape == MASK else (bounds_of(drawn, scale),)
        new = Region(a, int(number), outlines)
        text = format_regions(parse_regions(format_regions([*regions, new])))
        return [text, self._sheet(one, clip, a, size, text)]

    def run_propagate(self, one, two, clip, a, b, size, text: str, number, shape, sheet) -> Iterator[list]:
        """Propagate what is drawn up to frame B, frame by frame."""
        first = [gr.skip(), gr.skip()]
        if drawn_mask(sheet) is not None:
            first = self.add_region(one, two, clip, a, b, size, text, number, shape, sheet)
            text = first[0]
        regions = parse_regions(text)
        names = self._models(one, two)
        runs = {name: self.explorer.propagate(name, clip, regions, size, b) for name in names}
        start = regions[0].frame if regions else 0
        if not start <= b:
            raise ValueError(f'frame B ({b}) comes before frame {start}, in which you have drawn: move frame B')
        pictures: dict[str, Picture] = {name: self._propagated(name, clip, regions, size, b) for name in names}
        at = b
        for found in in_turns(runs):
            for name, (at, ids) in found.items():
                pictures[name] = shrink(draw_masks(self.explorer.frame(clip, at), ids), PICTURE)
            where = gr.Slider(minimum=start, maximum=max(b, start + 1), value=at)
            line = f'Frame {at} of {start} to {b}.' + (' Stop, and correct any frame.' if found else ' Done.')
            yield [*first, *padded(list(pictures.values()), names), where, line]
            first = [gr.skip(), gr.skip()]

    def _propagated(self, name, clip, regions: list[Region], size, at: int) -> Picture:
        ids = self.explorer.propagation(name, clip, regions, size).masks.get(at)
        return None if ids is None else shrink(draw_masks(self.explorer.frame(clip, at), ids), PICTURE)

    def show_propagated(self, one, two, clip, a, b, size, text: str, at: int) -> list[Picture]:
        """The results for a frame."""
        regions, names = parse_regions(text), self._models(one, two)
        return padded([self._propagated(name, clip, regions, size, at) for name in names], names)

    # Tracking

    def click_corner(self, one, two, clip, a, b, size, box: str, event: gr.SelectData) -> list:
        """A click in frame A: the first or the second corner of the box."""
        frame = self.explorer.frame(clip, a)
        x, y = self._place(event, frame)
        before = numbers_of(box, 2, 4) if box else []
        corners = [x, y]
        if len(before) == 2:
            corners = [min(x, before[0]), min(y, before[1]), abs(x - before[0]), abs(y - before[1])]
        return [' '.join(f'{value:.5g}' for value in corners), shrink(draw_corners(frame, corners), PICTURE)]

    def run_track(self, one, two, clip, a, b, size, box: str) -> Iterator[list]:
        """Track the box up to frame B, frame by frame."""
        if not box or len(numbers_of(box, 2, 4)) < 4:
            raise ValueError('there is no box: click two opposite corners of the target in frame A')
        if not a < b:
            raise ValueError(f'frame A ({a}) must come before frame B ({b}) in this view: move the sliders')
        x, y, width, height = numbers_of(box, 4)
        names = self._models(one, two)
        runs = {name: self.explorer.track(name, clip, (x, y, width, height), a, b) for name in names}
        pictures: dict[str, Picture] = {}
        lines: dict[str, str] = {}
        for found in in_turns(runs):
            for name, (number, place, score) in found.items():
                drawn = draw_tracked(self.explorer.frame(clip, number), place, number, score)
                pictures[name] = shrink(drawn, PICTURE)
                where = ' '.join(f'{value:.0f}' for value in place)
                lines[name] = f'**{name}**: frame {number} of {a} to {b}, box {where}, score {score:.2f}'
            yield [*padded(list(pictures.values()), names), '\n\n'.join(lines.values()) + ('' if found else ' Done.')]

    # Reconstruction

    def run_reconstruct(self, one, two, clip, a, b, size, seed, masking, past, future) -> list:
        """Reconstruct the pair, for each model that has a decoder."""
        pictures: list[Picture] = []
        lines = []
        ratio = None if masking == TRAINED else (past, future)
        names = self._models(one, two)
        for name in names:
            try:
                sample = self.explorer.reconstruct(name, clip, (a, b), int(seed), ratio)
                pictures.append(draw_reconstructions([sample]))
                error, constant = float(sample.error), float(sample.constant_error)
                lines.append(f"**{name}**: error {error:.3f}; of each patch's mean {constant:.3f}")
            except ValueError as error:
                pictures.append(None)
                lines.append(f'**{name}**: {error}.')
        return [*padded(pictures, names), '\n\n'.join(lines)]

    # Costs

    def show_costs(self) -> list[list]:
        """Where time and memory went."""
        return [
            [
                step.name,
                step.model,
                f'{step.seconds:.3f}',
                f'{step.cpu_seconds:.3f}',
                '' if step.mebibytes is None else f'{step.mebibytes:.0f}',
            ]
            for step in self.explorer.costs.summary()
        ] or [['nothing was computed yet', '', '', '', '']]

    # Links

    def make_link(self, view: str, *values) -> str:
        """Query of a link that restores the view."""
        fields = dict(zip(self.fields, values, strict=True))
        query = {name: fields[name] for name in (*COMMON, *OWN[view])}
        return '?' + urlencode(
            dict(view=view) | {name: value for name, value in query.items() if value not in (None, '')}, safe=':;/'
        )

    def restore(self, request: gr.Request) -> list:
        """Values of all fields that a link gives; those of the start for the others. A link that does not fit changes
        nothing, with a message."""
        try:
            return self.read_link(dict(request.query_params))
        except (ValueError, VideoReadError) as error:
            gr.Warning(f'The link cannot be restored: {str(error).splitlines()[0]}', duration=15)
            return [gr.skip()] * (2 + len(self.fields) + len(self.masks[1]))

    def read_link(self, query: Mapping[str, str]) -> list:
        """Updates of the tabs, the view, all fields, and the second fields of the mask.

        Raises:
            ValueError: If the link names a clip or model that is not there, or a value is out of range.
        """
        view = query.get('view', 'match')
        if view not in VIEWS:
            raise ValueError(f'the link names no view {view!r}: they are {", ".join(VIEWS)}')
        values: dict[str, Any] = {name: gr.skip() for name in self.fields}
        if clip := query.get('clip'):
            last = self.explorer.length(clip) - 1
            values['clip'] = gr.Dropdown(choices=self.explorer.clips, value=clip)
            for name in ('a', 'b'):
                values[name] = gr.Slider(maximum=last, value=whole_number(query, name, 0, last, min(last, 12)))
        for name, choices in (('one', list(self.explorer.sources)), ('two', [NONE, *self.explorer.sources])):
            if name in query:
                if query[name] not in choices:
                    raise ValueError(f'the link names no model {query[name]!r}: start the explorer with it')
                values[name] = gr.Dropdown(choices=choices, value=query[name])
        for name, low, high in (('size', 64, 1080), ('layer', -48, -1), ('decoder_layer', -48, -1), ('seed', 0, 2**31)):
            if name in query:
                values[name] = whole_number(query, name, low, high, None)
        for name in ('past', 'future'):
            if name in query:
                values[name] = min(max(numbers_of(query[name], 1)[0], 0.0), 0.99)
        for name, choices in (('head', HEADS), ('decoder_head', HEADS), ('masking', [TRAINED, CHOSEN])):
            if query.get(name) in choices:
                values[name] = query[name]
        for name in ('point', 'patch', 'box'):
            if name in query:
                numbers_of(query[name], 2, 4)
                values[name] = query[name]
        if 'regions' in query:
            values['regions'] = format_regions(parse_regions(query['regions']))
        return [gr.Tabs(selected=view), view, *values.values(), *(values[name] for name in self.masks[1])]

    def _models(self, one: str | None, two: str | None) -> list[str]:
        names = chosen_models(one, two)
        if not names:
            raise ValueError('no model is chosen: click Small SiamMAE or DINOv2-S, or choose one from the list')
        return names


def picture(label: str, elem_id: str, visible: bool = True, scale: int = 1) -> gr.Image:
    """A picture that can be clicked, enlarged and saved."""
    return gr.Image(
        label=label,
        elem_id=elem_id,
        visible=visible,
        scale=scale,
        format='png',
        type='numpy',
        interactive=False,
        buttons=['download', 'fullscreen'],
    )


def chosen_models(one: str | None, two: str | None) -> list[str]:
    """Names of the one or two models that are chosen; the same one twice counts once."""
    return list(dict.fromkeys(name for name in (one, two) if name and name != NONE))


def padded(pictures: Sequence[Picture], names: Sequence[str]) -> list:
    """Pictures of two models, labeled with their names. The second one may be missing."""
    labeled: list = [gr.update(value=image, label=name) for image, name in zip(pictures, names)]
    return labeled + [None] * (2 - len(labeled))


def in_turns(runs: Mapping[str, Iterator]) -> Iterator[dict[str, Any]]:
    """Yield what each run finds in its next step, by name, and nothing after the last one."""
    while True:
        found = {name: step for name, run in runs.items() if (step := next(run, None)) is not None}
        yield found
        if not found:
            return


def drawn_mask(sheet: dict | None) -> np.ndarray | None:
    """What is drawn in an editor: a mask ``(h, w)`` bool, or None if there is nothing."""
    layers = [layer for layer in (sheet or {}).get('layers') or () if layer is not None]
    drawn = np.any([layer[..., 3] > 0 for layer in layers], axis=0) if layers else np.zeros((1, 1), bool)
    return drawn if drawn.any() else None


def numbers_of(text: str, *counts: int) -> list[float]:
    """Read numbers separated by spaces or commas.

    Raises:
        ValueError: If the text holds something else, or not one of these counts of numbers.
    """
    try:
        numbers = [float(part) for part in text.replace(',', ' ').split()]
    except ValueError:
        numbers = []
    if len(numbers) not in counts or not np.isfinite(numbers).all():
        raise ValueError(f'expected {" or ".join(map(str, counts))} numbers, got {text[:40]!r}: click in the picture')
    return numbers


def whole_number(query: Mapping[str, str], name: str, low: int, high: int, default: int | None) -> int | None:
    """Read a whole number of a link.

    Raises:
        ValueError: If it is none, or out of range.
    """
    if name not in query:
        return default
    text = query[name].removesuffix('.0')
    if not text.removeprefix('-').isdecimal() or not low <= int(text) <= high:
        raise ValueError(f'{name} must be a whole number from {low} to {high}, got {query[name][:40]!r}')
    return int(text)
