"""What works in this Python environment, and the pip line for what does not: ``python -m mmvidmae.utils.check_env``.

Needs only the standard library, so that it can tell what is missing. It judges by importing modules, never by the
names of distributions: forks that keep OpenMMLab's import names (``onedl-*``) are as good. Its exit code is 0 if
pre-training works.
"""

import importlib
import platform
import shlex
import sys
import warnings
from importlib import metadata

from mmvidmae import __version__

#: What is listed with its version.
LISTED = (
    *('numpy', 'torch', 'torchvision', 'cv2', 'decord', 'mmengine', 'mmcv', 'mmpretrain'),
    *('mmdet', 'mmseg', 'mmtrack'),
)

#: The modules that a capability imports, in an order that meets the cause of a failure first.
CAPABILITIES = {
    'pre-train': (
        *(
            'numpy',
            'torch',
            'torchvision',
            'cv2',
            'decord',
            'pkg_resources',
            'mmengine',
            'mmcv',
            'modelindex.load_model_index',
        ),
        *('mmpretrain.models', 'mmvidmae.models', 'mmvidmae.datasets', 'mmvidmae.engine'),
    ),
    'segment': ('mmcv.ops', 'mmseg.models'),
    'track': ('mmcv.ops', 'mmdet.models', 'mmtrack', 'mmtrack.models'),
}

#: Arguments of ``pip install`` for a module that is missing; any other module is its own distribution.
PIP = {
    'cv2': 'opencv-python-headless==4.14.0.94',
    'decord': 'decord==0.6.0',
    'mmcv': '--no-deps mmcv-lite==2.1.0',
    'mmdet': '--no-deps mmdet==3.3.0',
    'mmengine': '--no-deps mmengine==0.10.7',
    'mmpretrain': '--no-deps mmpretrain==1.2.0',
    'mmseg': '--no-deps mmsegmentation==1.2.2',
    'mmtrack': '--no-deps mmtrack==1.0.0rc1',
    'modelindex': 'model-index==0.1.11',
    'numpy': 'numpy==2.2.6',
    'pkg_resources': 'setuptools==80.10.2',
    'sklearn': 'scikit-learn==1.7.2',
    'torch': 'torch==2.11.0 torchvision==0.26.0',
    'torchvision': 'torch==2.11.0 torchvision==0.26.0',
    'trackeval': '--no-deps trackeval==1.3.0',
    'PIL': 'pillow==12.3.0',
    'yaml': 'pyyaml==6.0.3',
}
COMPILED_MMCV = '--no-deps --no-build-isolation --no-cache-dir mmcv==2.1.0'


def distributions(module: str) -> list[str]:
    """The installed distributions that provide a top-level module, as ``name version``.

    More than one means that they have overwritten each other's files, as mmcv and mmcv-lite do.
    """
    names = set(metadata.packages_distributions().get(module, ()))
    if not names:  # Python 3.10 knows only the distributions that have a top_level.txt
        try:
            names = {metadata.distribution(module).metadata['Name']}
        except metadata.PackageNotFoundError:
            return []
    return sorted(f'{name} {metadata.version(name)}' for name in names)


def failure(module: str) -> Exception | None:
    """The exception that importing a module raises, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            importlib.import_module(module)
    except Exception as error:  # toolboxes refuse versions by AssertionError, broken binaries by OSError
        return error
    return None


def remedy(error: Exception) -> str | None:
    """The command that supplies the module whose absence an import error tells of, None for other errors."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    pip = f'{shlex.quote(sys.executable)} -m pip'
    package = error.name.partition('.')[0]
    if package == 'mmcv' and error.name != 'mmcv':
        return f'{pip} uninstall -y mmcv-lite && MMCV_WITH_OPS=1 {pip} install {COMPILED_MMCV}'
    return f'{pip} install {PIP.get(package, package)}'


def report(name: str, reason: str | None, *more: str | None) -> None:
    """Print a capability: ``yes``, or ``no`` with a reason and what else helps."""
    print(f'  {name:<10} {"yes" if reason is None else f"no: {reason}"}')
    for line in filter(None, more):
        print(f'{"":13}{line}')


def check_gpu() -> None:
    """Print whether torch sees a GPU, and which."""
    if failure('torch'):
        return report('GPU', 'torch does not import')
    import torch

    if torch.cuda.is_available():
        return report('GPU', None, *(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())))
    if torch.version.cuda is None:
        pip = f'{shlex.quote(sys.executable)} -m pip install --force-reinstall {PIP["torch"]}'
        return report('GPU', f'torch {torch.__version__} is built without CUDA', pip)
    return report(
        'GPU', f'no device or no driver for CUDA {torch.version.cuda}, which torch {torch.__version__} is built for'
    )


def main() -> int:
    """Print the report.

    Returns:
        int: 0 if pre-training works, else 1.
    """
    print(f'mmvidmae {__version__}, Python {platform.python_version()}, {platform.platform()}\n\nVersions')
    for module in LISTED:
        found = distributions(module)
        print(f'  {module:<12} {", ".join(found) or "-"}')
        if len(found) > 1:
            print(f'{"":15}these share the module {module}: uninstall them all, then install one')
    print('\nWhat works')
    works = {}
    for name, modules in CAPABILITIES.items():
        module, error = next(((module, error) for module in modules if (error := failure(module))), (None, None))
        works[name] = error is None
        if error is None:
            report(name, None)
        else:
            message = ' '.join(str(error).split()) or 'no message'
            report(name, f'importing {module}: {type(error).__name__}: {message}', remedy(error))
    check_gpu()
    return 0 if works['pre-train'] else 1


if __name__ == '__main__':
    sys.exit(main())
