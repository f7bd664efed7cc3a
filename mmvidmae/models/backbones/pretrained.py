"""Encoders as folders in the layout of Hugging Face's hub: ``model.safetensors`` and ``config.json``.

Nothing of a folder is run. The weights are tensors, the config is JSON. The config may name the encoders and layers of
this file alone, and no other file or address to load.
"""

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from mmvidmae.compat.safetensors import read_safetensors
from mmvidmae.registry import MODELS
from mmvidmae.utils.files import atomic_write, file_sha256
from mmvidmae.utils.weights import load_whole
from mmvidmae.version import __version__

FORMAT = 1
"""Version of ``config.json``."""
WEIGHTS, CONFIG, CARD = 'model.safetensors', 'config.json', 'README.md'
PREFIX = 'backbone.'
"""Prefix of the parameter names, as in checkpoints of whole models: all tools read the file."""
ENCODERS = ('PairMAEViT', 'RegisterViT', 'RecurrentViT', 'AdaptedViT')
"""Types that a folder may be of."""
LAYERS = ('LN', 'GELU', 'mmvidmae.GatedCrossCore')
"""Types of layers that the arguments of an encoder may name."""
_ABOUT = ('preprocessing', 'method', 'license', 'source')
_REPO_ID = re.compile(r'[\w-][\w.-]*/[\w-][\w.-]*')

EncoderType = TypeVar('EncoderType', bound='PretrainedEncoder')


class PretrainedEncoder:
    """Base of encoders that can be saved as a folder and loaded from one.

    Attributes:
        about: What the folder says that the encoder was loaded from: ``preprocessing`` (``mean`` and ``std`` of R, G
            and B, 0 to 255), ``method``, ``license``, ``source``. Empty for other encoders.
    """

    about: Mapping[str, Any] = {}
    state_dict: Callable[..., dict[str, Any]]
    eval: Callable[..., Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Remember the arguments, which become the config."""
        encoder = super().__new__(cls)
        encoder.__dict__['_arguments'] = (args, kwargs)
        return encoder

    def save_pretrained(
        self,
        folder: str | PathLike,
        preprocessing: Mapping[str, Sequence[float]] | None = None,
        method: str | None = None,
        license: str | None = None,
        source: str | None = None,
        half: bool = False,
    ) -> Path:
        """Write ``model.safetensors``, ``config.json`` and a short ``README.md``. What is not given is taken from
        ``about``.

        Args:
            folder: Folder to write to. It is created if needed.
            preprocessing: ``mean`` and ``std`` of R, G and B, 0 to 255.
            method: Name of the pre-training, such as ``'SiamMAE'``.
            license: License of the weights, such as ``'apache-2.0'``.
            source: Where the weights come from.
            half: Whether weights are stored as float16.

        Returns:
            The folder.

        Raises:
            ValueError: If the encoder is of no type in :data:`ENCODERS`, has arguments that JSON cannot hold or that
                :func:`from_pretrained` would refuse, or has no preprocessing.
        """
        from safetensors.torch import save_file

        given = dict(preprocessing=preprocessing, method=method, license=license, source=source)
        about = {name: self.about.get(name) if given[name] is None else given[name] for name in _ABOUT}
        if not isinstance(about['preprocessing'], Mapping) or not {'mean', 'std'} <= set(about['preprocessing']):
            raise ValueError(f'{type(self).__name__}: set preprocessing, a dict with mean and std')
        about['preprocessing'] = _plain(about['preprocessing'], 'preprocessing') | dict(channel_order='RGB')
        config = _config_of(self)
        _check_types(config, type(self).__name__, whole=True)
        weights = {
            PREFIX + name: value.detach().cpu().contiguous().clone() for name, value in self.state_dict().items()
        }
        if half:
            weights = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
        folder = Path(folder)
        with atomic_write(folder / WEIGHTS) as part:
            save_file(weights, part, dict(format='pt'))
            digest = file_sha256(part)
        described = dict(
            format_version=FORMAT,
            library_name='mmvidmae',
            mmvidmae_version=__version__,
            backbone=config,
            **about,
            sha256={WEIGHTS: digest},
        )
        with atomic_write(folder / CONFIG) as part:  # last: it vouches for the weights
            part.write_text(json.dumps(described, indent=2) + '\n', 'utf-8')
        if not (folder / CARD).exists():
            with atomic_write(folder / CARD) as part:
                part.write_text(_card(about, config), 'utf-8')
        return folder

    @classmethod
    def from_pretrained(
        cls: type[EncoderType], folder_or_repo_id: str | PathLike, revision: str | None = None
    ) -> EncoderType:
        """Load an encoder of this class, see :func:`from_pretrained`.

        Raises:
            ValueError: If the folder has another type.
        """
        encoder = from_pretrained(folder_or_repo_id, revision)
        if not isinstance(encoder, cls):
            raise ValueError(f'{folder_or_repo_id} has a {type(encoder).__name__} and no {cls.__name__}')
        return encoder


def from_pretrained(folder_or_repo_id: str | PathLike, revision: str | None = None) -> PretrainedEncoder:
    """Load an encoder from a folder, or from a repository of Hugging Face's hub.

    Args:
        folder_or_repo_id: Folder of :meth:`PretrainedEncoder.save_pretrained`, or ``'USER/NAME'`` if there is no folder
            USER. Only the second uses the network, by the package huggingface_hub.
        revision: Branch, tag or commit of the repository.

    Returns:
        The encoder in evaluation mode on the CPU. Its ``about`` holds the preprocessing.

    Raises:
        FileNotFoundError: If there is no such folder, or a file is missing.
        ImportError: If a repository is asked for and huggingface_hub is not installed.
        ValueError: If a file is damaged, was changed, is of a newer version, or names a type that is not allowed.
    """
    folder = Path(folder_or_repo_id)
    if not folder.is_dir():
        folder = _download(folder_or_repo_id, revision)
    described = _read_config(folder / CONFIG)
    config, weights = described['backbone'], folder / WEIGHTS
    if not weights.is_file():
        raise FileNotFoundError(f'{weights} is missing: {folder} is no whole folder of save_pretrained')
    if file_sha256(weights) != described['sha256'][WEIGHTS]:
        raise ValueError(f'{weights} is not the file that {CONFIG} was written for (SHA-256): get the folder again')
    try:
        encoder = MODELS.build(config)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{folder / CONFIG}: the encoder cannot be built: {error}') from error
    state_dict = read_safetensors(weights)['state_dict']
    load_whole(encoder, {name.removeprefix(PREFIX): value for name, value in state_dict.items()}, weights)
    encoder.about = {name: described.get(name) for name in _ABOUT}
    return encoder.eval()


def push(folder: str | PathLike, repo_id: str, private: bool = False) -> str:
    """Upload a folder of :meth:`PretrainedEncoder.save_pretrained` to a repository of Hugging Face's hub, which is
    created if needed. The account is the one that the package huggingface_hub is logged in with.

    Returns:
        Address of the commit.

    Raises:
        ImportError: If huggingface_hub is not installed.
        ValueError: If ``repo_id`` is not ``USER/NAME``.
    """
    if not _REPO_ID.fullmatch(repo_id):
        raise ValueError(f'{repo_id!r} is no repository of the hub: expected USER/NAME')
    api = _hub().HfApi()
    api.create_repo(repo_id, private=private, exist_ok=True)
    commit = api.upload_folder(repo_id=repo_id, folder_path=str(folder), allow_patterns=[WEIGHTS, CONFIG, CARD])
    return str(commit)


def _download(repo_id: str | PathLike, revision: str | None) -> Path:
    is_path = not isinstance(repo_id, str) or not _REPO_ID.fullmatch(repo_id) or Path(repo_id).parent.exists()
    if is_path:
        raise FileNotFoundError(f'{repo_id} is no folder (and no USER/NAME of the hub)')
    return Path(_hub().snapshot_download(str(repo_id), revision=revision, allow_patterns=[WEIGHTS, CONFIG]))


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            "Hugging Face's hub needs the package huggingface_hub: run `pip install huggingface_hub`"
        ) from error
    return huggingface_hub


def _config_of(encoder: PretrainedEncoder) -> dict[str, Any]:
    """Config of an encoder: its type and the arguments of its constructor."""
    name = type(encoder).__name__
    args, kwargs = encoder.__dict__['_arguments']
    bound = inspect.signature(type(encoder)).bind(*args, **kwargs)
    arguments: dict[str, Any] = {}
    for parameter in bound.signature.parameters.values():
        if parameter.name in bound.arguments:
            value = bound.arguments[parameter.name]
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                arguments |= value
            elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                raise ValueError(f'{name} was made with positional arguments, which a config cannot hold')
            else:
                arguments[parameter.name] = value
    return dict(type=f'mmvidmae.{name}') | _plain(arguments, name)


def _plain(value: Any, where: str) -> Any:
    """A value as JSON has it, without what names files to load (``init_cfg``)."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part, f'{where}.{key}') for key, part in value.items() if key != 'init_cfg'}
    if isinstance(value, list | tuple):
        return [_plain(part, where) for part in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError(f'{where} is a {type(value).__name__}, which {CONFIG} cannot hold')


def _check_types(config: Any, where: str, whole: bool = False) -> None:
    """Refuse types that are neither ours nor layers, and ``init_cfg``, at any depth.

    Args:
        config: The config, or a part of it.
        where: Its name in messages.
        whole: Whether it must be an encoder.
    """
    if isinstance(config, list):
        for part in config:
            _check_types(part, where)
    if not isinstance(config, dict):
        if whole:
            raise ValueError(f'{where}: backbone must be a dict')
        return
    encoders = tuple(f'mmvidmae.{name}' for name in ENCODERS)
    if whole and config.get('type') not in encoders:
        raise ValueError(f'{where}: {config.get("type")!r} is not allowed: expected one of {", ".join(encoders)}')
    if 'type' in config and config['type'] not in encoders + LAYERS:
        raise ValueError(f'{where}: the type {config["type"]!r} is not allowed in an encoder')
    if 'init_cfg' in config:
        raise ValueError(f'{where}: init_cfg is not allowed: it names other files to load')
    for part in config.values():
        _check_types(part, where)


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing: {path.parent} is no folder of save_pretrained')
    try:
        described = json.loads(path.read_text('utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is no JSON: {error}') from error
    version = described.get('format_version') if isinstance(described, dict) else None
    if not isinstance(version, int):
        raise ValueError(f'{path} has no format_version: it is no config of mmvidmae')
    if version > FORMAT:
        wrote = described.get('mmvidmae_version')
        raise ValueError(f'{path} is of version {version} (mmvidmae {wrote}), this mmvidmae reads {FORMAT}: update it')
    hashes = described.get('sha256')
    if not isinstance(hashes, dict) or not isinstance(hashes.get(WEIGHTS), str):
        raise ValueError(f'{path} has no sha256 of {WEIGHTS}')
    _check_types(described.get('backbone'), str(path), whole=True)
    return described


def _card(about: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    front = dict(license=about['license'], library_name='mmvidmae', pipeline_tag='image-feature-extraction')
    lines = [f'{name}: {value}' for name, value in front.items() if value]
    method = about['method'] or 'An encoder'
    source = f'\nSource: {about["source"]}\n' if about['source'] else ''
    return '\n'.join(['---', *lines, '---', '']) + (
        f'# {method}, {config["type"].removeprefix("mmvidmae.")}\n{source}\n'
        '```python\nfrom mmvidmae.apis import from_pretrained\n\n'
        'encoder = from_pretrained("USER/NAME")  # or this folder\n```\n'
    )
