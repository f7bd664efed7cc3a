"""Explore clips and models in the browser: a page on this computer, which needs no network.

Shows correspondence by point, the attention of decoders, propagated regions, tracked boxes, reconstructions, and where
time and memory go. One or two models can be seen side by side. Every view has a link that restores it.

Models are CONFIG CHECKPOINT pairs (CONFIG may be a name of the model index, CHECKPOINT 'none' for random weights), or
siammae-small (its weights are in the repository) or dinov2-small (tools/model_converters/get_dinov2.py writes it). The
two small ones can also be chosen on the page. The package gradio is needed: pip install 'mmvidmae[explorer]'.

Example:
    python tools/explore.py siammae-small videos
    python tools/explore.py siammae-small dinov2-small videos --dinov2 dinov2_vits14.safetensors
    python tools/explore.py CONFIG CHECKPOINT video.mp4 --short-side 240 --port 7861
"""

import argparse
import socket
import sys

from mmvidmae.utils.interrupt import leave_on_interrupt

LOOPBACK = ('127.0.0.1', 'localhost', '::1')


def free_port(host: str, port: int) -> int:
    """A port to listen on: the given one, or for 0 any free one.

    Raises:
        ValueError: If the port is in use, or this computer does not have the address.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return probe.getsockname()[1]
    except (OSError, OverflowError) as error:
        reason = getattr(error, 'strerror', None) or str(error)
        raise ValueError(
            f'cannot listen on {host}, port {port} ({reason}): choose another one with --port, 0 for any that is free'
        ) from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('models', nargs='*', metavar='MODEL', help='see above')
    parser.add_argument('source', metavar='VIDEO_OR_FOLDER', help='video, or folder of videos or folders of images')
    parser.add_argument('--dinov2', default='dinov2_vits14.safetensors', help='file of DINOv2-S (default: %(default)s)')
    parser.add_argument(
        '--short-side', type=int, default=480, help='of inputs and pictures, in pixels, at first (default: %(default)s)'
    )
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: a GPU if there is one)')
    parser.add_argument(
        '--cache', type=float, default=1024, metavar='MIB', help='size of the kept features (default: %(default)s)'
    )
    parser.add_argument('--host', default='127.0.0.1', help='address to listen on (default: this computer only)')
    parser.add_argument('--port', type=int, default=7860, help='0 for any that is free (default: %(default)s)')
    parser.add_argument('--open', action='store_true', help='open the page in the browser')
    args = parser.parse_args()
    with leave_on_interrupt('Nothing was written.'):
        serve(parser, args)


def serve(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    try:
        port = free_port(args.host, args.port)
    except ValueError as error:
        parser.error(str(error))
    try:
        from mmvidmae.apis.explorer.page import Page
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith('mmvidmae'):
            raise
        parser.error(f"the page needs gradio ({error.name} is missing): run pip install 'mmvidmae[explorer]'")
    from mmvidmae.apis.explorer import Explorer, parse_models
    from mmvidmae.datasets import VideoReadError

    try:
        models = parse_models(args.models, args.dinov2)
        explorer = Explorer(args.source, models, args.dinov2, args.device, args.cache)
        page = Page(explorer, args.short_side, add_models=args.host in LOOPBACK)
    except (OSError, ValueError, VideoReadError) as error:
        parser.error(str(error).splitlines()[0])
    address = page.launch(args.host, port, block=False)
    print(f'{len(explorer.clips)} clips, models: {", ".join(explorer.chosen) or "none yet"}')
    print(f'Open {address} in a browser. Ctrl-C ends the program.', flush=True)
    if args.open:
        import webbrowser

        if not webbrowser.open(address):
            print('There is no browser here that can be opened.', file=sys.stderr)
    page.blocks.block_thread()


if __name__ == '__main__':
    main()
