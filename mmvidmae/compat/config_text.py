"""The text of a config is formatted once.

What: training of a small model spends a tenth of its first seconds on formatting its config with yapf, which takes
0.2 to 0.3 seconds each time. So does each checkpoint.

Why: MMEngine formats the text whenever something asks for it (mmengine@v0.10.7:mmengine/config/config.py:1483): the
log, visualization backends, the message hub, each checkpoint. A short run asks seven times.

Until: MMEngine keeps the text of a config that has not changed.
"""

from functools import lru_cache, wraps
from typing import Any

from mmengine.config import config


def format_configs_once() -> None:
    """Remember the texts formatted last. Repeated calls have no further effect, and so has a call with OneDL's fork of
    MMEngine, which keeps the function elsewhere."""
    format_code = getattr(config, 'FormatCode', None)
    if format_code is None or hasattr(format_code, '__wrapped__'):
        return

    @lru_cache(maxsize=4)
    def remembered(text: str, style: tuple[tuple[str, Any], ...]) -> tuple[str, bool]:
        return format_code(text, style_config=dict(style))

    @wraps(format_code)
    def format_code_once(text: str, style_config: dict[str, Any], **options: Any) -> tuple[str, bool]:
        if options:  # yapf before 0.40.2
            return format_code(text, style_config=style_config, **options)
        return remembered(text, tuple(style_config.items()))

    config.FormatCode = format_code_once
