"""Pictures of a Gradio page are written once.

What: a picture does not load, and the log has ``Too much data for declared Content-Length``.

Why: Gradio (6.31.0, ``processing_utils.save_pil_to_cache``) names the file of a picture by its content and writes it
anew each time the picture is shown. A browser that asks for it at this moment gets the size of half a file. A page
that shows one frame in several views does this whenever it is opened.

Until: Gradio keeps a file that is there.
"""

import threading
from pathlib import Path

from PIL import Image

from ..utils.files import atomic_write


def write_pictures_once() -> None:
    """Let Gradio keep the files of pictures that it has. Repeated calls have no further effect."""
    from gradio import processing_utils

    lock = threading.Lock()

    def save_pil_to_cache(img: Image.Image, cache_dir: str, name: str = 'image', format: str = 'webp') -> str:
        content = processing_utils.encode_pil_to_bytes(img, format)
        path = (Path(cache_dir) / processing_utils.hash_bytes(content) / f'{name}.{format}').resolve()
        with lock:  # events run in threads
            if not path.exists():
                with atomic_write(path) as part:
                    part.write_bytes(content)
        return str(path)

    processing_utils.save_pil_to_cache = save_pil_to_cache
