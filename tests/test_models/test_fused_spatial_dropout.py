"""ASAD's backends. What Triton's kernels compute is in ``interpreted_asad.py``, which runs here in its own process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmvidmae.models.layers import SpatialDropAttention, asad_backends
from mmvidmae.models.necks import JointPairDecoder

if not asad_backends.available():
    pytest.skip('the kernels need Triton and torch 2.4', allow_module_level=True)

import triton

from mmvidmae.models.layers import spatial_dropout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kernels_under_the_interpreter():
    environment = dict(os.environ, TRITON_INTERPRET='1', OMP_NUM_THREADS='1')
    cases = Path(__file__).with_name('interpreted_asad.py')
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '--noconftest', str(cases)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]


@pytest.mark.slow
def test_kernels_compile_for_a_gpu():
    """Without a GPU: for compute capability 9.0, with the registers that a multiprocessor has."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from mmvidmae.models.layers import spatial_dropout_kernels as kernels

    types = dict.fromkeys(('q', 'k', 'v', 'out', 'grad', 'q_grad', 'k_grad', 'v_grad'), '*bf16')
    types |= dict.fromkeys(('scratch', 'norms', 'deltas'), '*fp32') | dict.fromkeys(('scale', 'eps'), 'fp32')
    types |= dict.fromkeys(('candidates', 'drops'), '*i32') | dict(seeds='*i64')
    constants = kernels.tiles(torch.empty(1, 1, 392, 32, dtype=torch.bfloat16)) | dict(CHUNK=kernels.CHUNK)
    for kernel, warps in (
        (kernels.draw_kernel, kernels.DRAW_WARPS),
        (kernels.attend_kernel, 4),
        (kernels.query_gradient_kernel, 4),
        (kernels.key_gradient_kernel, 4),
    ):
        names = kernel.arg_names
        signature = {name: 'constexpr' if name in constants else types.get(name, 'i32') for name in names}
        used = {name: value for name, value in constants.items() if name in names}
        source = ASTSource(kernel, signature, used)
        code = triton.compile(source, target=GPUTarget('cuda', 90, 32), options=dict(num_warps=warps))
        assert code.asm['cubin']
        assert code.metadata.shared < 100_000


def test_auto_is_torch_on_the_cpu():
    results = []
    for backend in ('auto', 'torch'):
        torch.manual_seed(0)
        layer = SpatialDropAttention(32, num_heads=4, spatial_drop=0.3, asad_backend=backend)
        results.append(layer(torch.randn(2, 24, 32)))
    assert torch.equal(*results)


@pytest.mark.skipif(asad_backends.interpreted(), reason='the kernels run here')
def test_triton_on_the_cpu_is_an_error():
    layer = SpatialDropAttention(32, num_heads=4, spatial_drop=0.3, asad_backend='triton')
    with pytest.raises(RuntimeError, match=r"asad_backend='triton' needs a GPU.*TRITON_INTERPRET=1"):
        layer(torch.randn(2, 24, 32))
    layer.eval()
    layer(torch.randn(2, 24, 32))  # nothing is dropped


def test_values_are_checked():
    with pytest.raises(ValueError, match=r"asad_backend must be one of auto, torch, triton, got 'cuda'"):
        JointPairDecoder(asad_backend='cuda')
    for other in (dict(share_heads=True), dict(drop_strategy='row')):
        with pytest.raises(ValueError, match="asad_backend must be 'auto' or 'torch', except"):
            JointPairDecoder(asad_backend='triton', **other)
        JointPairDecoder(asad_backend='auto', **other)


@pytest.mark.skipif(torch.cuda.is_available(), reason='the kernels work on a GPU')
@pytest.mark.parametrize(('there', 'reason'), [(True, 'RuntimeError: '), (False, 'RuntimeError: the kernels need')])
def test_what_does_not_compile_falls_back_with_one_warning(monkeypatch, there, reason):
    """Triton has no CPU compiler: its failure is a real one. Without Triton or with an old torch, it is said, too."""
    warnings = []
    monkeypatch.setattr(spatial_dropout, 'print_log', lambda text, **kwargs: warnings.append(text))
    monkeypatch.setattr(spatial_dropout, 'available', lambda: there)
    spatial_dropout._works.cache_clear()
    for _ in range(2):
        assert not spatial_dropout.works(torch.device('cpu'), torch.bfloat16, 16)
    (warning,) = warnings
    assert warning.startswith(f'ASAD: Triton cannot be used on cpu ({reason}')
    spatial_dropout._works.cache_clear()
