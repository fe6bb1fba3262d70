"""The documentation: links lead somewhere, command lines parse, examples run, and the site builds."""

import argparse
import ast
import contextlib
import doctest
import functools
import importlib
import importlib.util
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from markdown_it import MarkdownIt

from unet_deblur_tf.commands.main import COMMANDS
from unet_deblur_tf.data.gopro import prepared

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "unet_deblur_tf"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    ROOT / "saved_models/README.md",
    PACKAGE / "weights/README.md",
]
FOLDERS = ("unet_deblur_tf", "benchmarks", "docs", "examples", "experiments", "tests")
# Scripts, whose docstrings show how to call them.
SCRIPTS = [
    *sorted(ROOT.glob("*.py")),
    *sorted(PACKAGE.glob("commands/*.py")),
    *(path for folder in FOLDERS if folder != "tests" for path in sorted(ROOT.glob(f"{folder}/*.py"))),
    ROOT / "tests/hostile.py",
    *sorted(ROOT.glob("tests/serving/*.py")),
]

# Python blocks that cannot run here, by page. Each has a comment before it: <!-- not run: REASON -->
NOT_RUN = {"docs/serving.md": 1}


def short(path):
    """A path as tests call it."""
    return str(path.relative_to(ROOT))


each_page = pytest.mark.parametrize("page", PAGES, ids=short)
# The changelog names what was there then.
each_page_of_today = pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=short)


@functools.cache
def parse(page):
    """The tokens of a Markdown file, each with its inline content as further tokens behind it."""
    tokens = MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
    return [each for token in tokens for each in (token, *(token.children or ()))]


# Links


def links(page):
    """What a page links to or shows."""
    for token in parse(page):
        if token.type in ("link_open", "image"):
            yield token.attrs.get("href", token.attrs.get("src"))
        elif token.type in ("html_inline", "html_block"):
            yield from re.findall(r'(?:href|src)="([^"]*)"', token.content)


def anchors(page):
    """The anchors that GitHub gives the headings of a page."""
    found = {}
    tokens = parse(page)
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            inside = tokens[number + 1].children
            text = "".join(each.content for each in inside if each.type in ("text", "code_inline"))
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            count = found[slug] = found.get(slug, -1) + 1
            yield f"{slug}-{count}" if count else slug


def broken_links(page):
    """The relative links of a page that lead nowhere."""
    for link in links(page):
        if re.match(r"[a-z]+:|//", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@each_page
def test_relative_links_lead_somewhere(page):
    assert not list(broken_links(page))


def test_there_are_links():
    assert sum(len(list(links(page))) for page in PAGES) > 60


def test_broken_links_are_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`, c & d: e_f\n\n## Twice\n\n## Twice\n\n[1](#a-b-c--d-e_f) [2](page.md#twice-1) ![3](page.md)\n\n"
        "[no](other.md) [no](#twice-2) [no](page.md#a-b-c-d-e_f)\n\n"
        '| a |\n|---|\n| [no](#in-a-table) |\n\n<img src="no.png">\n\n`[code](x.md)` [web](https://example.org/#x)\n'
    )
    assert list(anchors(page)) == ["a-b-c--d-e_f", "twice", "twice-1"]
    assert list(broken_links(page)) == ["other.md", "#twice-2", "page.md#a-b-c-d-e_f", "#in-a-table", "no.png"]


@each_page_of_today
def test_paths_of_the_repository_exist(page):
    named = [token.content for token in parse(page) if token.type == "code_inline"]
    paths = [name for name in named if re.fullmatch(rf"({'|'.join(FOLDERS)})/[\w./-]*", name)]
    assert not [path for path in paths if not (ROOT / path).exists()]


# Command lines


class Parsed(Exception):
    """The command line was understood."""


def check(words, in_sentence=False):
    """Calls a command of this project up to where its command line has been parsed.

    Args:
        words: list of str, such as ["python", "train.py", "--variant", "unet"] or ["unet-deblur", "train"].
        in_sentence: bool, required arguments may be missing, and a word in capitals may stand for a value.

    Returns:
        What is wrong with it, or "".
    """
    if words[0] == "unet-deblur":
        path = PACKAGE / "__main__.py"
        argv = words
    else:
        path = ROOT / words[1]
        argv = words[1:]
        if not path.is_file():
            return f"there is no {words[1]}"
        if "argparse" not in path.read_text(encoding="utf-8") and path.parent != ROOT:
            return ""
    original, said = argparse.ArgumentParser.parse_args, io.StringIO()

    def parse_args(self, *arguments, **keywords):
        original(self, *arguments, **keywords)
        raise Parsed

    with (
        mock.patch.object(argparse.ArgumentParser, "parse_args", parse_args),
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(sys, "path", [str(path.parent), *sys.path]),
        mock.patch.dict(os.environ),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.suppress(Parsed),
    ):
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as end:
            error = said.getvalue().strip().rpartition("error: ")[2]
            excuse = re.search(r"arguments are required|: '[A-Z]+'", error) if in_sentence else None
            if end.code and not excuse:
                return error
    return ""


COMMAND = re.compile(r"(?:^|(?<=[\s`(]))(?:python -m unet_deblur_tf(?= )|python (?=\S+\.py\b)|unet-deblur )[^\n`]*")


def commands(text):
    """The calls of this project's commands in a text, each as a list of words."""
    for match in COMMAND.finditer(re.sub(r"\\\n\s*", " ", text)):
        # Brackets mark what may be left out.
        line = re.sub(r"(?<=\s)\[(?=-)|(?<=\w)\](?=\s|$)", "", match[0])
        line = line.replace("python -m unet_deblur_tf", "unet-deblur")
        try:
            words = list(split(line))
        except ValueError:  # a quote that began on a line before
            words = list(split(line.rstrip("'\"")))
        end = next((number for number, word in enumerate(words) if set(word) <= set("();<>|&")), len(words))
        words = words[:end]
        if words[1:] and not words[1].removesuffix(".py").isupper():  # a placeholder
            yield words


def split(line):
    """The words of a command line, as a shell has them."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return lexer


def command_lines(page):
    """The calls in a page: (list of words, whether it is part of a sentence)."""
    for token in parse(page):
        if token.type in ("code_block", "fence") and not token.info.startswith("python"):
            yield from ((words, False) for words in commands(token.content))
        elif token.type == "code_inline":
            yield from ((words, True) for words in commands(token.content))


@each_page
def test_command_lines_parse(page):
    wrong = {
        shlex.join(words): error for words, in_sentence in command_lines(page) if (error := check(words, in_sentence))
    }
    assert not wrong


def test_there_are_command_lines():
    found = [words for page in PAGES for words, _ in command_lines(page)]
    assert {words[1] for words in found if words[0] == "unet-deblur"} == {*COMMANDS}
    assert len(found) > 100


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("unet-deblur deblur photo.jpg --strength 0.7  # less", ""),
        ("python train.py --variant unet \\\n    --epochs 3 && python evaluate.py [--ensemble]", ""),
        ("KERAS_BACKEND=jax python benchmarks/training_gpu.py --rows PyTorch", ""),
        ("exec unet-deblur train --batch-size 32'", ""),
        ("unet-deblur deblur photo.jpg --stength 0.7", "unrecognized arguments: --stength 0.7"),
        ("python -m unet_deblur_tf train --variant unet5", "invalid choice: 'unet5'"),
        ("python evaluate.py --limit none", "invalid positive_int value: 'none'"),
        ("unet-deblur deblur", "required: INPUT"),
        ("python nowhere.py", "there is no nowhere.py"),
        ("python experiments/gather.py out", "required: --photos"),
    ],
)
def test_wrong_command_lines_are_noticed(line, error):
    found = [check(words) for words in commands(line)]
    assert found
    assert any(error in each for each in found) if error else not any(found)


@pytest.mark.parametrize("script", SCRIPTS, ids=short)
def test_command_lines_of_docstrings_parse(script):
    text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    text = text.replace("{program}", f"unet-deblur {script.stem.replace('_', '-')}")
    lines = [re.split(r" {2,}|`|: ", line.strip())[0] for line in text.splitlines()]  # what it does stands beside it
    wrong = {shlex.join(words): error for words in commands("\n".join(lines)) if (error := check(words, True))}
    assert not wrong


# Of other programs, which the pages name.
OTHER_FLAGS = {
    "--help",
    "--rest_api_timeout_in_ms",
    "--monitoring_config_file",
    "--enable_batching",
    "--batching_parameters_file",
}


@functools.cache
def known_flags():
    """The flags of all commands and scripts."""
    sources = [*SCRIPTS, ROOT / "benchmarks/common.py"]
    return {
        flag for path in sources for flag in re.findall(r'add_argument\(\s*"(--[\w-]+)"', path.read_text("utf-8"))
    } | OTHER_FLAGS


@each_page_of_today
def test_flags_in_sentences_exist(page):
    named = [token.content for token in parse(page) if token.type == "code_inline"]
    flags = {flag for text in named if text.startswith("--") for flag in re.findall(r"(?<!\S)--[\w-]+", text)}
    assert not flags - known_flags()


# Examples


@pytest.fixture
def work(tmp_path, monkeypatch, save_picture, picture):
    """The current folder of an example: `photo.jpg`, `photos/`, `pairs/` and GoPro in `DIR/` are there."""
    save_picture(tmp_path / "photo.jpg", picture)
    for number in range(2):
        save_picture(tmp_path / f"photos/{number}.jpg", picture)
        for kind in ("blur", "sharp"):
            save_picture(tmp_path / f"pairs/test/{kind}/{number}.png", picture)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def python_blocks(page):
    """The Python blocks of a page: (first line in the file, code, why it cannot run or None)."""
    tokens = parse(page)
    for number, token in enumerate(tokens):
        if token.type == "fence" and token.info.split()[:1] == ["python"]:
            before = tokens[number - 1].content if tokens[number - 1].type == "html_block" else ""
            reason = re.search(r"<!-- not run: (.*?) -->", before)
            yield token.map[0] + 1, token.content, reason and reason[1]


@pytest.mark.parametrize(
    "page",
    # The page on the Python interface calls what the README calls, and more.
    [
        pytest.param(page, marks=pytest.mark.slow if short(page) == "docs/api/index.md" else (), id=short(page))
        for page in PAGES
        if list(python_blocks(page))
    ],
)
def test_python_blocks_run(page, work, picture):
    blocks = list(python_blocks(page))
    if any("DIR" in code for _, code, _ in blocks):
        prepare_gopro(work / "DIR")
    # Those of a page go on with what the ones before them made.
    names = {"__name__": "__main__", "blurred": np.float32(picture[np.newaxis]) / 255}
    for line, code, reason in blocks:
        compiled = compile("\n" * line + code, str(page), "exec")
        if reason is None:
            exec(compiled, names)


def prepare_gopro(folder):
    """A small GoPro where TensorFlow Datasets looks for it, as `train --data gopro` leaves it."""
    os.symlink(ROOT / "tests/data/gopro_dummy/GOPRO_Large", folder.parent / "GOPRO_Large")
    folder.mkdir()
    os.symlink(ROOT / "tests/data/gopro_dummy/GOPRO_Large", folder / "GOPRO_Large")
    prepared.load_gopro.cache_clear()
    prepared.load_gopro("blur", str(folder), str(folder.parent / "cache"))


def test_blocks_that_do_not_run_are_known():
    counted = {short(page): sum(reason is not None for *_, reason in python_blocks(page)) for page in PAGES}
    assert {page: count for page, count in counted.items() if count} == NOT_RUN


def test_a_block_says_why_it_does_not_run(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- not run: needs a server -->\n\n```python\nserve()\n```\n\n```python\nprint()\n```\n")
    assert list(python_blocks(page)) == [(3, "serve()\n", "needs a server"), (7, "print()\n", None)]


MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


@pytest.mark.parametrize("name", [name for name, path in MODULES.items() if ">>> " in path.read_text("utf-8")])
def test_examples_of_docstrings_run(name, work):
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said = io.StringIO()
    for example in doctest.DocTestFinder().find(module):
        runner.run(example, out=said.write)
    assert runner.tries
    assert not runner.failures, said.getvalue()


# The site


def test_the_reference_covers_the_package():
    described = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("docs/api/*.md"))
    described = re.findall(r"^::: (\S+)", described, re.MULTILINE)
    rooms = {name for name in MODULES if name.count(".") == 1 and not name.endswith("__main__")}
    assert rooms <= {*described}
    public = importlib.import_module("unet_deblur_tf")
    assert {f"unet_deblur_tf.{name}" for name in public.__all__ if name != "__version__"} <= {*described}


@pytest.mark.slow
def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(PAGES)
    loaded = r"<(?:script|img|iframe|source)[^>]*\ssrc=\"?(https?:[^\s\">]*)|<link[^>]*\shref=\"?(https?:[^\s\">]*)"
    assert not [found for page in pages for found in re.findall(loaded, page.read_text(encoding="utf-8"))]
    for style in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?https?:", style.read_text(encoding="utf-8"))
