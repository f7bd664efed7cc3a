"""What a change must leave as it is: see traces.py, which recorded it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')
from traces import TRACES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
RECORDED = json.loads((Path(__file__).parent / 'assets/traces.json').read_text())


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """Made-up clips, videos with masks, sequences and pictures, made when first needed."""
    return tmp_path_factory.mktemp('traces')


def test_every_trace_is_recorded():
    assert RECORDED.keys() == TRACES.keys()


@pytest.mark.parametrize('name', TRACES)
def test_trace(name, data):
    """Equal up to the rounding of another processor, which grows over the steps."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        result = TRACES[name](data)
    finally:
        torch.set_num_threads(threads)
    if isinstance(result, dict):
        assert result == pytest.approx(RECORDED[name], rel=1e-3)
    else:
        assert len(result) == len(RECORDED[name])
        np.testing.assert_allclose(result, RECORDED[name], rtol=2e-3)
