"""The table of the methods is what the configs say."""

import runpy

from docs_pages import ROOT


def test_table_is_that_of_the_configs():
    tool = runpy.run_path(str(ROOT / 'tools/analysis_tools/list_methods.py'))
    printed = tool['table']([tool['MODELS_DIR'] / f'{name}.py' for name in tool['METHODS']])
    assert printed in (ROOT / 'docs/methods.md').read_text(), 'docs/methods.md: put the output of list_methods.py there'
