"""For MkDocs: pages of the Markdown files outside `docs/`, with the links between them, and the lazy public API.

In the repository, links are relative to the file that they are in, so that they work wherever its files are shown. In
the site, a link to a file that is not part of it becomes plain text.
"""

import ast
import os
import re
from pathlib import Path

import griffe
from mkdocs.structure.files import File

# From a file of the repository to its page.
PAGES = {
    "README.md": "overview.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "saved_models/README.md": "trained-networks.md",
    "unet_deblur_tf/weights/README.md": "model-card.md",
}
SOURCES = {page: source for source, page in PAGES.items()}
# Code comes first, since what is inside it is no link.
LINK = re.compile(r"(?P<code>```.*?```|`[^`]*`)|(?P<start>!?\[(?P<text>[^][]*)\]\()(?P<target>[^()\s]+)\)", re.DOTALL)


def on_files(files, config):
    """Adds the pages."""
    root = Path(config.config_file_path).parent
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(root / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown, page, config, files):
    """Rewrites the links of a page."""
    name = page.file.src_uri
    source = SOURCES.get(name, f"docs/{name}")

    def rewrite(match):
        if match["code"] or re.match(r"[a-z]+:|#", match["target"]):
            return match[0]
        path, hash_sign, anchor = match["target"].partition("#")
        path = os.path.normpath(os.path.join(os.path.dirname(source), path))
        target = PAGES.get(path, path.removeprefix("docs/"))
        if files.get_file_from_path(target) is None and not path.startswith("docs/"):
            return match["text"]
        target = os.path.relpath(target, os.path.dirname(name) or ".")
        return f"{match['start']}{target}{hash_sign}{anchor})"

    return LINK.sub(rewrite, markdown)


def on_page_content(html, page, config, files):
    """Removes the dash that mkdocstrings puts before the description of a result, where there is no type before it."""
    return re.sub(r'(<li class="doc-section-item field-body">\s*)\u2013', r"\1", html)


class Package(griffe.Extension):
    """Tells mkdocstrings what it does not see of the package, since it reads the package without running it."""

    def on_package(self, *, pkg, **kwargs):
        """Called once the package has been read."""
        if pkg.name != "unet_deblur_tf":
            return
        # Where the public names come from, each of which is imported when it is used.
        for name, home in ast.literal_eval(str(pkg["_HOMES"].value)).items():
            pkg.set_member(name, griffe.Alias(name, f"{pkg.name}.{home}.{name}"))
        # The docstring of a command is its help: its examples become blocks of code.
        for name, module in pkg["commands"].modules.items():
            help_text = module.docstring
            help_text.value = re.sub(r"(?m)^(?=\{program\}|unet-deblur )", "    ", help_text.value)
            help_text.value = help_text.value.replace("{program}", f"unet-deblur {name}")
