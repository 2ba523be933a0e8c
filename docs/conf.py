"""How the documentation is built: `make docs`, without the network, warnings as errors."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

from toolkit import __version__

project = "lstm-edge-toolkit"
author = "the authors of lstm-edge-toolkit"
copyright = "the authors of lstm-edge-toolkit, Apache-2.0"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "command_reference", "plain_docstrings"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"lstm-edge-toolkit {__version__}"
html_show_sphinx = False
html_copy_source = False

# Headings are targets of links, as on a page that GitHub shows.
myst_heading_anchors = 4

# Links lead to what these pages show: other packages, and rooms of the toolkit that they leave out, are no targets.
_shown = "|".join(
    re.escape(module)
    for page in sorted(Path(__file__).parent.glob("python/*.md"))
    for module in re.findall(r"^.. automodule:: (\S+)", page.read_text(encoding="utf-8"), re.M)
)
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", rf"(?!({_shown})\.[A-Z]).*"),
    ("py:.*", r".*\.(_\w+|T|Array|Ints|Feed|State|Axis|Kind|Number)"),  # private, or another name of a type
]

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
