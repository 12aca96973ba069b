"""The charter of use as HTML: Markdown without raw HTML, images or addresses that run something."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from node.vault.charters import CharterText

__all__ = ["charter_html"]


def charter_html(charter: CharterText) -> Markup:
    """The text for a page. Its headings stand below the page's own; plain text keeps its lines."""
    if not charter.is_markdown:
        return Markup('<div class="plain">{}</div>').format(escape(charter.text))
    # The preset of untrusted text: raw HTML is shown as it is written, javascript: and the like are no links.
    reader = MarkdownIt("js-default", {"html": False, "linkify": False}).disable("image")
    tokens = reader.parse(charter.text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"
    return Markup(reader.renderer.render(tokens, reader.options, {}))
