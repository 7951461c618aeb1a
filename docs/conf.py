"""How the pages are built; `scripts/docs` does it. Nothing is fetched from the network."""

import sys
from pathlib import Path, PurePath
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

import jaxgmm

sys.path.insert(0, str(Path(__file__).parent))
from docstrings import to_rst

project = "jaxgmm"
author = "the jaxgmm authors"
project_copyright = author
version = release = jaxgmm.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "mathml"]
exclude_patterns = ["pictures"]
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
html_math_renderer = "mathml"

# Names stand in single backticks, and strings as one types them.
default_role = "code"
smartquotes = False
autodoc_member_order = "bysource"
# Shapes and units stand in the text; annotations would say it again, at length.
autodoc_typehints = "none"
maximum_signature_line_length = 90
highlight_language = "text"
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_title = f"jaxgmm {release}"
html_copy_source = False
html_show_sphinx = False
# Tables of results begin at whatever level their scripts gave them.
suppress_warnings = ["myst.header"]


def to_pages(app: Sphinx, tree: nodes.document) -> None:
    """Links to files of measurements, which a reader of the repository follows, become links to their pages."""
    for link in tree.findall(pending_xref):
        target: Any = PurePath(link.get("reftarget", ""))
        if target.parts[-2:] == ("benchmarks", "README"):
            link["reftarget"] = "benchmarks"
        elif target.parts[-3:-1] == ("benchmarks", "results"):
            link["reftarget"], link["reftargetid"] = "results", target.name


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", to_pages)
    app.connect("autodoc-process-docstring", to_rst)
