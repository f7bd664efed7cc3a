"""The registries that mmvidmae fills, children of MMEngine's roots with scope ``mmvidmae``.

A config names our types with their prefix (``type='mmvidmae.DropMAE'``); MMEngine then imports this module and the
``locations`` by itself, so no ``custom_imports`` is needed. Configs keep the ``default_scope`` of the toolbox they
extend.
"""

from mmengine import registry as root

from . import compat  # noqa: F401 (bridges defects of the libraries below, before anything is built)

DATASETS = root.Registry('dataset', parent=root.DATASETS, locations=['mmvidmae.datasets'])
DATA_SAMPLERS = root.Registry('data sampler', parent=root.DATA_SAMPLERS, locations=['mmvidmae.datasets'])
FUNCTIONS = root.Registry('function', parent=root.FUNCTIONS, locations=['mmvidmae.datasets'])
HOOKS = root.Registry('hook', parent=root.HOOKS, locations=['mmvidmae.engine'])
METRICS = root.Registry('metric', parent=root.METRICS, locations=['mmvidmae.evaluation'])
MODELS = root.Registry('model', parent=root.MODELS, locations=['mmvidmae.models'])
TRANSFORMS = root.Registry('transform', parent=root.TRANSFORMS, locations=['mmvidmae.datasets'])
