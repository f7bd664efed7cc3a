"""A page is served without closing the log files of the process.

What: after a page is launched, the log of an MMEngine runner in the same process gets no further line, and building a
model fails with ``'NoneType' object has no attribute 'write'``.

Why: uvicorn (0.54.0, ``config.py:398``) configures its loggers with ``logging.config.dictConfig``. This closes all
handlers of the process, unless the configuration is incremental. Gradio (6.31.0, ``http_server.py:143``) passes none.

Until: Gradio passes a ``log_config``.
"""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def keep_log_files() -> Iterator[None]:
    """Within this context, a uvicorn server with the default configuration leaves all log handlers as they are."""
    from uvicorn.config import LOGGING_CONFIG

    default = dict(LOGGING_CONFIG)
    LOGGING_CONFIG.clear()
    LOGGING_CONFIG.update(version=1, incremental=True)
    try:
        yield
    finally:
        LOGGING_CONFIG.clear()
        LOGGING_CONFIG.update(default)
