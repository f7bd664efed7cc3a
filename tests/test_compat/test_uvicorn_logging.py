import logging

import pytest
from mmengine.logging import MMLogger


def test_log_files_stay_open(tmp_path):
    gradio = pytest.importorskip('gradio', reason='needs gradio: make full')
    from uvicorn.config import LOGGING_CONFIG

    from mmvidmae.compat.uvicorn_logging import keep_log_files

    default = dict(LOGGING_CONFIG)
    path = tmp_path / 'run.log'
    logger = MMLogger('test_log_files_stay_open', log_file=str(path))
    logger.info('before')
    with gradio.Blocks() as blocks:
        gradio.Markdown('page')
    try:
        with keep_log_files():
            blocks.launch(server_name='127.0.0.1', prevent_thread_lock=True, quiet=True, share=False, ssr_mode=False)
        logger.info('after')
    finally:
        blocks.close()
        for handler in logger.handlers:
            handler.close()
    lines = path.read_text().splitlines()
    assert [line.split()[-1] for line in lines] == ['before', 'after']
    assert logging.getLogger('uvicorn.error').level == logging.WARNING
    assert default == LOGGING_CONFIG
