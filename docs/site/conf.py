"""Settings of the site that `make docs` builds; `scripts/documentation.py` calls Sphinx."""

project = "compos"
html_title = "compos"
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False  # the sources are in the repository
html_show_copyright = False
html_theme_options = {"top_of_page_buttons": []}

extensions = ["myst_parser"]
# The pages are GitHub's Markdown: nothing of MyST's own syntax may hide in them.
myst_disable_syntax = [
    "myst_block_break",
    "myst_line_comment",
    "myst_role",
    "myst_target",
    "substitution",
]
myst_heading_anchors = 4
highlight_language = "none"  # blocks without a language are commands and outputs
pygments_style = "friendly"
pygments_dark_style = "gruvbox-dark"
