"""The site: pages whose code the build runs, the reference, the gallery. `make docs` builds it."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from sphinx.application import Sphinx  # noqa: E402

from docs._site import docstrings, generate, pages  # noqa: E402

# Cells and examples run on the CPU, unless JAX_PLATFORMS is exported; figures appear beneath the cells that draw them.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"

project = "qmljax"
author = "The qmljax authors"
copyright = author
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "docs._site.mathematics",
]
exclude_patterns = ["_build", "_site", "gallery/files"]

# pages
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath", "substitution"]
myst_heading_anchors = 4
nb_custom_formats = {".md": "docs._site.pages.read"}
nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / "build" / "docs" / "executed")
nb_execution_in_temp = True
nb_execution_show_tb = True
nb_execution_timeout = 300
nb_output_stderr = "warn"
nb_render_text_lexer = "text"
nb_merge_streams = True

# reference
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Returns"]  # a text, not a type and a text
autodoc_preserve_defaults = True
maximum_signature_line_length = 88
nitpick_ignore_regex = [
    ("py:.*", r"(?!qmljax\.).*"),
    ("py:.*", r"qmljax\.(\w+\.)*_.*"),
]  # other libraries; what is private
toc_object_entries_show_parents = "hide"

# appearance
html_math_renderer = "mathml"
html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "qmljax"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_selector = "div:not(.output) > div.highlight pre"


def setup(app: Sphinx) -> None:
    """Connects what makes pages and what checks them."""
    app.connect("builder-inited", generate.all_pages)
    app.connect("autodoc-process-docstring", docstrings.escape, priority=100)  # before napoleon
    app.connect("autodoc-process-signature", docstrings.signature)
    app.connect("autodoc-skip-member", docstrings.skip)
    app.connect("object-description-transform", docstrings.plain_names)
    app.add_transform(docstrings.Links)
    app.connect("source-read", pages.refuse_cells_within)
    app.connect("source-read", pages.lead_home)
    app.connect("source-read", pages.list_children)
    app.connect("doctree-read", pages.check)
