"""The registries that mmvidmae fills, children of MMEngine's roots with scope ``mmvidmae``.

A config names our types with their prefix (``type='mmvidmae.DropMAE'``); MMEngine then imports this module and the
``locations`` by itself, so no ``custom_imports`` is needed. Configs keep the ``default_scope`` of the toolbox they
extend.
"""

from collections.abc import Mapping
from importlib import import_module

from mmengine import registry as root

from . import compat  # noqa: F401 (bridges defects of the libraries below, before anything is built)


class Registry(root.Registry):
    """A registry some of whose types extend mmtrack or mmseg, which are imported when one of them is asked for, and not
    before.

    Args:
        name: As in MMEngine, like all others.
        on_demand: The module that registers a type, by the type's name.
    """

    def __init__(self, name: str, on_demand: Mapping[str, str] | None = None, **kwargs) -> None:
        super().__init__(name, **kwargs)
        self.on_demand = dict(on_demand or {})

    def get(self, key: str) -> type | None:
        """Type of a name.

        Raises:
            ImportError: If it needs a toolbox that is not installed; names the pip line.
        """
        name = key.removeprefix(f'{self.scope}.')
        if name in self.on_demand:
            import_module(self.on_demand[name])
        return super().get(key)


_SEQUENCES = ('SequenceFolderDataset', 'LaSOTExtDataset', 'TNL2KDataset', 'NFSDataset', 'GOT10kSequences')
REPEATABLE_DATASETS = (
    *('GOT10kDataset', 'LaSOTDataset', 'SOTCocoDataset', 'SOTImageNetVIDDataset', 'TrackingNetDataset'),
    'RandomSampleConcatDataset',
)
"""Data sets of mmtrack that there are under the same names here, with repeatable items."""
DATASETS = Registry(
    'dataset',
    parent=root.DATASETS,
    locations=['mmvidmae.datasets'],
    on_demand={
        **dict.fromkeys(_SEQUENCES, 'mmvidmae.datasets.tracking.sequences'),
        **dict.fromkeys(('LasHeRDataset', 'RGBT234Dataset'), 'mmvidmae.datasets.tracking.modalities'),
        **dict.fromkeys(REPEATABLE_DATASETS, 'mmvidmae.datasets.tracking.repeatable'),
        'DAVISForegroundDataset': 'mmvidmae.datasets.foreground',
    },
)
DATA_SAMPLERS = Registry(
    'data sampler',
    parent=root.DATA_SAMPLERS,
    locations=['mmvidmae.datasets'],
    on_demand={'SequenceSampler': 'mmvidmae.datasets.tracking.sequences'},
)
FUNCTIONS = Registry('function', parent=root.FUNCTIONS, locations=['mmvidmae.datasets'])
HOOKS = Registry('hook', parent=root.HOOKS, locations=['mmvidmae.engine'])
PARAM_SCHEDULERS = Registry('parameter scheduler', parent=root.PARAM_SCHEDULERS, locations=['mmvidmae.engine'])
METRICS = Registry('metric', parent=root.METRICS, locations=['mmvidmae.evaluation'])
MODELS = Registry('model', parent=root.MODELS, locations=['mmvidmae.models'])
OPTIM_WRAPPERS = Registry('optimizer wrapper', parent=root.OPTIM_WRAPPERS, locations=['mmvidmae.engine'])
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor', parent=root.OPTIM_WRAPPER_CONSTRUCTORS, locations=['mmvidmae.engine']
)
STRATEGIES = Registry('strategy', parent=root.STRATEGIES, locations=['mmvidmae.engine'])
TRANSFORMS = Registry('transform', parent=root.TRANSFORMS, locations=['mmvidmae.datasets'])
VISUALIZERS = Registry('visualizer', parent=root.VISUALIZERS, locations=['mmvidmae.visualization'])
