"""Check this Python environment: ``python -m mmvidmae.utils.check_env``.

Prints what works, and the pip line for what does not. Needs only the standard library. It imports modules and does not
look at names of distributions, so forks with OpenMMLab's import names (``onedl-*``) pass. The exit code is 0 if
pre-training works.
"""

import contextlib
import importlib
import platform
import shlex
import sys
import warnings
from importlib import metadata

from mmvidmae import __version__

#: Modules that are listed with their versions.
LISTED = (
    *('numpy', 'torch', 'torchvision', 'cv2', 'av', 'mmengine', 'mmcv', 'mmpretrain'),
    *('mmdet', 'mmseg', 'mmtrack'),
)

#: The modules that a capability imports. The order lets the cause of a failure appear first.
CAPABILITIES = {
    'pre-train': (
        *(
            'numpy',
            'torch',
            'torchvision',
            'cv2',
            'av',
            'scipy.io',
            'pkg_resources',
            'mmengine',
            'mmcv',
            'modelindex.load_model_index',
        ),
        *('mmpretrain.models', 'mmvidmae.models', 'mmvidmae.datasets', 'mmvidmae.engine'),
    ),
    'segment': ('torch', 'pkg_resources', 'mmengine', 'mmcv.ops', 'mmseg.models'),
    'track': (
        'torch',
        'pkg_resources',
        'mmengine',
        'mmcv.ops',
        'mmdet.models',
        'mmvidmae.compat.mmtrack.enabled',
        'mmtrack.models',
    ),
}

#: Requirement for a missing module. Any other module has the name of its distribution.
PIP = {
    'PIL': 'pillow==12.3.0',
    'av': 'av==18.1.0',
    'cv2': 'opencv-python-headless==4.14.0.94',
    'imgaug': '--no-deps imaug==0.4.3',
    'mmcv': '--no-deps mmcv-lite==2.1.0',
    'mmcv.ops': '--no-deps --no-build-isolation --no-cache-dir mmcv==2.1.0',
    'mmdet': '--no-deps mmdet==3.3.0',
    'mmengine': '--no-deps mmengine==0.10.7',
    'mmpretrain': '--no-deps mmpretrain==1.2.0',
    'mmseg': '--no-deps mmsegmentation==1.2.2',
    'mmtrack': '--no-deps mmtrack==1.0.0rc1',
    'modelindex': 'model-index==0.1.11',
    'numpy': 'numpy==2.2.6',
    'pkg_resources': 'setuptools==80.10.2',
    'scipy': 'scipy==1.15.3',
    'sklearn': 'scikit-learn==1.7.2',
    'torch': 'torch==2.11.0 torchvision==0.26.0',
    'torchvision': 'torch==2.11.0 torchvision==0.26.0',
    'trackeval': '--no-deps trackeval==1.3.0',
    'yaml': 'pyyaml==6.0.3',
}

#: Their replacements in an environment with OneDL's forks, which have the same files.
FORKS = {
    'mmcv': 'onedl-mmcv==2.3.6',
    'mmdet': 'onedl-mmdetection==3.5.1',
    'mmengine': 'onedl-mmengine==0.10.12',
    'mmpretrain': 'onedl-mmpretrain==1.3.6',
    'mmseg': 'onedl-mmsegmentation==1.4.2',
}


def distributions(module: str) -> list[str]:
    """The installed distributions that provide a top-level module, as ``name version``.

    More than one means that they have overwritten each other's files, as mmcv and mmcv-lite do.
    """
    names = set(metadata.packages_distributions().get(module, ()))
    if not names:  # Python 3.10 knows only the distributions that have a top_level.txt
        for name in (module, FORKS.get(module, module).partition('==')[0]):
            with contextlib.suppress(metadata.PackageNotFoundError):
                names.add(metadata.distribution(name).metadata['Name'])
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


def pip(command: str) -> str:
    """The shell command that runs pip for this environment."""
    return f'{shlex.quote(sys.executable)} -m pip {command}'


def requirement(module: str) -> str:
    """Argument of ``pip install`` for a module: a fork if the environment has forks."""
    line = PIP.get(module, module)
    fork = FORKS.get(module.partition('.')[0])
    if fork and any(found.startswith('onedl-') for name in FORKS for found in distributions(name)):
        return f'{line.rpartition(" ")[0]} {fork}'
    return line


def remedy(module: str, error: Exception) -> str | None:
    """Suggest a fix of an import, as a shell command or a sentence.

    Args:
        module: Imported module.
        error: Exception of the import.

    Returns:
        None if the error names neither a missing module nor a version that a toolbox refuses.
    """
    if isinstance(error, AssertionError):  # 'MMCV==2.2.0 is used but incompatible. Please install ...'
        if module.startswith('mmtrack'):
            return 'do not install what it asks for: no mmtrack accepts the mmcv and mmdet that everything else needs'
        wanted = str(error).partition('==')[0].lower()
        if wanted not in PIP:
            return None
    elif isinstance(error, ModuleNotFoundError) and error.name:
        wanted = error.name.partition('.')[0]
    else:
        return None
    if wanted == 'mmcv':
        found = [distribution.split()[0] for distribution in distributions('mmcv')]
        if module == 'mmcv.ops' or found not in ([], ['mmcv-lite']):  # else mmcv-lite is enough
            uninstall = f'{pip("uninstall -y " + " ".join(found))} && ' if found else ''
            return f'{uninstall}MMCV_WITH_OPS=1 {pip("install " + requirement("mmcv.ops"))}'
    return pip(f'install {requirement(wanted)}')


def report(name: str, reason: str | None, *more: str | None) -> None:
    """Print a capability with ``yes``, or ``no`` and the reason, then further lines."""
    print(f'  {name:<10} {"yes" if reason is None else f"no: {reason}"}')
    for line in filter(None, more):
        print(f'{"":13}{line}')


def check(name: str) -> bool:
    """Import what a capability needs, print whether it works, and return it."""
    for module in CAPABILITIES[name]:
        if error := failure(module):
            message = ' '.join(str(error).split())
            report(name, f'importing {module}: {type(error).__name__}: {message}', remedy(module, error))
            return False
    report(name, None)
    return True


def check_gpu() -> None:
    """Print whether torch can use a GPU, and its name."""
    if failure('torch'):
        return report('GPU', 'torch does not import')
    import torch

    if torch.version.cuda is None:
        replace = f'{pip("uninstall -y torch torchvision")} && {pip("install " + PIP["torch"])}'
        return report('GPU', 'this torch is built without CUDA', replace)
    if not torch.cuda.is_available():
        return report('GPU', f'no device, or no driver for CUDA {torch.version.cuda} of this torch')
    try:
        torch.ones(1, device='cuda').add_(1)
    except RuntimeError as error:  # such as a torch without kernels for this device
        return report('GPU', ' '.join(str(error).split()))
    return report('GPU', None, *(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())))


def main() -> int:
    """Print the report.

    Returns:
        Exit code, 0 if pre-training works.
    """
    print(f'mmvidmae {__version__}, Python {platform.python_version()}, {platform.platform()}\n\nVersions')
    for module in LISTED:
        found = distributions(module)
        print(f'  {module:<12} {", ".join(found) or "-"}')
        if len(found) > 1:
            names = ' '.join(distribution.split()[0] for distribution in found)
            print(f'{"":15}one import name: uninstall all, then install one: {pip("uninstall -y " + names)}')
    print('\nWhat works')
    works = {name: check(name) for name in CAPABILITIES}
    check_gpu()
    if not works['pre-train']:
        print('\nEverything at once, in an environment of its own: `make demo` in a checkout (docs/install.md)')
    return 0 if works['pre-train'] else 1


if __name__ == '__main__':
    sys.exit(main())
