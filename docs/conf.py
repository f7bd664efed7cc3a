"""Configuration of the documentation site: ``make docs`` builds it into ``docs/_build/html``."""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))

import mmvidmae  # noqa: E402
import mmvidmae.registry  # noqa: E402 (applies the bridges that importing the toolboxes needs)

project = 'mmvidmae'
author = 'mmvidmae developers'
copyright = author
release = version = mmvidmae.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.napoleon',
    'sphinx_copybutton',
    'site_sources',
]
source_suffix = {'.md': 'markdown', '.markdown': 'markdown', '.rst': 'restructuredtext'}
exclude_patterns = ['_build', 'readme.markdown']
nitpicky = True
nitpick_ignore_regex = [('py:.*', r'(?!mmvidmae\.).*')]  # other libraries: their sites cannot be asked offline

myst_enable_extensions = ['colon_fence', 'linkify']
myst_linkify_fuzzy_links = False
myst_heading_anchors = 4
suppress_warnings = ['myst.header']  # a page may begin with a table or skip a level

autodoc_member_order = 'bysource'
autodoc_default_options = dict(members=True, show_inheritance=True)
autodoc_inherit_docstrings = False
autodoc_typehints_format = 'short'
autodoc_preserve_defaults = True
autosummary_generate = False
maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = 'furo'
html_title = f'mmvidmae {release}'
html_copy_source = False
html_show_sphinx = False
