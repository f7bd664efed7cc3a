"""Package description; the versions that are tested together are in requirements/."""

import os
import runpy
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent

# No requirement, hard or extra, names an OpenMMLab package, OpenCV, or trackeval, which asks for OpenCV. Several
# distributions have the same import name (mmcv and mmcv-lite, mmpretrain and onedl-mmpretrain, opencv-python and
# opencv-python-headless), and pip would install a second copy over the one in use. The command
# `python -m mmvidmae.utils.check_env` prints the pip line for each that is missing.
CORE = [
    'av>=17.1',
    'einops',
    'fsspec',
    'imageio-ffmpeg',
    'importlib-metadata',
    'mat4py',
    'matplotlib',
    'model-index',
    'numpy>=1.26',
    'packaging',
    'pillow',
    'safetensors',
    'scipy',
    'setuptools<81',
    'tensorboard',
    'torch>=2.1',
    'torchvision>=0.16',
    # of mmengine and mmcv
    'addict',
    'platformdirs',
    'pyyaml',
    'rich',
    'termcolor',
    'yapf',
]
EXTRAS = dict(
    tracking=[
        'lap',
        'motmetrics',
        'pycocotools',
        'scikit-learn',
        'seaborn',
        'shapely',
        'tabulate',
        'terminaltables',
        'tqdm',
    ],
    segmentation=['ftfy', 'prettytable', 'regex'],
    explorer=['gradio>=6.31'],
    remote=['aiohttp', 's3fs'],
    deployment=['onnx', 'onnxruntime', 'onnxscript'],
    test=['aiohttp', 'mypy', 'playwright', 'pytest', 'pytest-cov', 'pytest-timeout', 'pytest-xdist', 'ruff', 'timm'],
    docs=['furo', 'linkify-it-py', 'myst-parser', 'sphinx', 'sphinx-copybutton'],
)
EXTRAS['all'] = sorted(set(EXTRAS['tracking'] + EXTRAS['segmentation']))

NOT_IN_WHEELS = shutil.ignore_patterns('__pycache__', '*.pyc', 'weights', 'experiments')


class BuildWithMim(build_py):
    """Puts configs, tools and the model index where ``mim`` looks for them: ``mmvidmae/.mim``.

    A wheel gets copies, without trained weights and experiments. An editable install gets links in the source tree, so
    that what is edited is what runs.
    """

    def run(self) -> None:
        super().run()
        package = (ROOT if self.editable_mode else Path(self.build_lib).absolute()) / 'mmvidmae'
        mim = package / '.mim'
        if mim.exists():
            shutil.rmtree(mim)
        mim.mkdir(parents=True)
        for name in ('configs', 'tools', 'model-index.yml'):
            source = ROOT / name
            if self.editable_mode:
                (mim / name).symlink_to(os.path.relpath(source, mim))
            elif source.is_dir():
                shutil.copytree(source, mim / name, ignore=NOT_IN_WHEELS)
            else:
                shutil.copy2(source, mim / name)
        if self.editable_mode:
            # mim joins the folder of the metadata (site-packages) and the first line of top_level.txt, and finds no
            # package there. An absolute path survives the joining; readers of the other lines still find the name.
            (metadata,) = Path(self.get_finalized_command('install').install_lib).glob('*.dist-info')
            (metadata / 'top_level.txt').write_text(f'{package}\n{package.name}\n')


setup(
    name='mmvidmae',
    version=runpy.run_path(str(ROOT / 'mmvidmae' / 'version.py'))['__version__'],
    description='Masked-autoencoder pre-training on video frame pairs for OpenMMLab: DropMAE and SiamMAE',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='mmvidmae developers',
    keywords=[
        *('masked autoencoder', 'self-supervised learning', 'video', 'DropMAE', 'SiamMAE', 'visual object tracking'),
        *('video object segmentation', 'label propagation', 'OpenMMLab', 'MMEngine', 'PyTorch'),
    ],
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        *(f'Programming Language :: Python :: 3.{minor}' for minor in (10, 11, 12)),
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Topic :: Scientific/Engineering :: Image Recognition',
        'Typing :: Typed',
    ],
    license='Apache-2.0',
    license_files=['LICENSE'],
    python_requires='>=3.10,<3.13',
    packages=find_packages(include=['mmvidmae', 'mmvidmae.*']),
    package_data={'mmvidmae': ['py.typed']},
    install_requires=CORE,
    extras_require=EXTRAS,
    cmdclass=dict(build_py=BuildWithMim),
    zip_safe=False,
)
