"""Every place that a registry names must import: MMEngine reports a wrong one only when a config first uses it."""

import importlib

import pytest
from mmengine.registry import Registry

from mmvidmae import registry

REGISTRIES = {name: value for name, value in vars(registry).items() if isinstance(value, Registry)}


@pytest.mark.parametrize('name', REGISTRIES)
def test_locations_import_and_fill_the_registry(name):
    locations = REGISTRIES[name]._locations
    assert locations
    for location in locations:
        importlib.import_module(location)
    ours = [value for value in REGISTRIES[name].module_dict.values() if value.__module__.startswith('mmvidmae.')]
    assert ours, f'nothing in {locations} registers in {name}'


def test_scope():
    assert {value.scope for value in REGISTRIES.values()} == {'mmvidmae'}
