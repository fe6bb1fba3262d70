"""The package from outside: what importing it costs, its public names, the commands and their help."""

import ast
import importlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
from helpers import ROOT

import unet_deblur_tf
from unet_deblur_tf.commands.main import COMMANDS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# These are no scripts in a clone.
SCRIPTS = tuple(name for name in COMMANDS if name not in ("app", "deblur-many"))
HEAVY = ("apache_beam", "gradio", "jax", "keras", "matplotlib", "numpy", "tensorflow", "torch")

# Runs each line of JSON on stdin, [file of a script or "", program, *arguments], as a command in one process; prints as
# JSON what each said, and which of the heavy packages were imported on the way.
SAY = f"""
import contextlib, io, json, runpy, sys
from unet_deblur_tf.commands.main import main
said = []
for script, *sys.argv in map(json.loads, sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        try:
            runpy.run_path(script, run_name="__main__") if script else main()
        except SystemExit as end:
            assert not end.code, (sys.argv, end.code)
    said.append(stdout.getvalue())
print(json.dumps([said, [name for name in {HEAVY} if name in sys.modules]]))
"""


def python(code, *, stdin=""):
    """What a piece of Python prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code], input=stdin, capture_output=True, text=True, env={**os.environ, "COLUMNS": "120"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_imports_nothing_else():
    code = (
        "import importlib, sys\n"
        "before = set(sys.modules)\n"
        "import unet_deblur_tf\n"
        "dir(unet_deblur_tf)\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)\n"
        "print(*[name for name in sys.modules if name.startswith('unet_deblur_tf')])\n"
    )
    assert python(code).splitlines() == ["unet_deblur_tf", "unet_deblur_tf"]


@pytest.mark.parametrize("name", unet_deblur_tf.__all__)
def test_public_names_are_there(name):
    assert getattr(unet_deblur_tf, name) is not None
    assert name in dir(unet_deblur_tf)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'unet_deblur_tf' has no attribute 'deblurr'"):
        unet_deblur_tf.deblurr  # noqa: B018
    assert not hasattr(unet_deblur_tf, "__wrapped__")


def test_the_version_is_the_same_everywhere():
    version = PROJECT["version"]
    assert unet_deblur_tf.__version__ == version
    assert re.search(r"^version: *\"?([^\"\n]*)\"?$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1] == version
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("order", ["keras first", "the networks alone"])
def test_keras_loads_a_saved_network(order, tmp_path):
    network = unet_deblur_tf.build("lite")
    network.save(tmp_path / "lite.keras")
    load = f"keras.saving.load_model({str(tmp_path / 'lite.keras')!r})"
    if order == "keras first":
        # Without the package it cannot: it is the import that does it.
        code = (
            "import keras\n"
            f"try:\n    {load}\n    raise SystemExit('loaded without our layers')\n"
            "except TypeError as error:\n    assert 'unet_deblur_tf' in str(error), error\n"
            f"import unet_deblur_tf\nprint({load}.count_params())\n"
        )
    else:
        code = f"import unet_deblur_tf.models.unet\nimport keras\nprint({load}.count_params())\n"
    assert int(python(code)) == network.count_params()


def test_the_entry_point_is_a_function():
    for name, place in PROJECT["scripts"].items():
        entry = importlib.metadata.EntryPoint(name, place, "console_scripts")
        assert callable(entry.load())


@pytest.fixture(scope="module")
def said():
    """What the command says without doing anything: {(script or "", *arguments): text}; none of it needs TensorFlow."""
    helps = [(name, "--help") for name in COMMANDS] + [("explain", part, "--help") for part in ("heatmaps", "cost")]
    asked = [("", "unet-deblur", *flags) for flags in (["--help"], ["--version"], ["--print-completion", "bash"])]
    asked += [("", "unet-deblur", *flags) for flags in helps]
    scripts = [flags for flags in helps if flags[0] in SCRIPTS]
    asked += [(str(ROOT / f"{flags[0]}.py"), f"{flags[0]}.py", *flags[1:]) for flags in scripts]
    texts, heavy = json.loads(python(SAY, stdin="".join(f"{json.dumps(line)}\n" for line in asked)))
    assert heavy == []
    return dict(zip([line[1:] for line in asked], texts, strict=True))


def test_version(said):
    assert said["unet-deblur", "--version"] == f"unet_deblur_tf {PROJECT['version']}\n"


def test_the_help_names_each_command_and_what_it_is_for(said):
    for name in COMMANDS:
        module = importlib.import_module(f"unet_deblur_tf.commands.{name.replace('-', '_')}")
        words = rf"^ +{name} +{re.escape(module.__doc__.splitlines()[0][:40])}"
        assert re.search(words, said["unet-deblur", "--help"], re.MULTILINE)


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_names_the_program_as_it_was_called(said, name):
    of_command, of_script = said["unet-deblur", name, "--help"], said[f"{name}.py", "--help"]
    assert of_command.startswith(f"usage: unet-deblur {name} [-h]")
    assert of_script.startswith(f"usage: {name}.py [-h]")
    module = ast.parse((ROOT / f"unet_deblur_tf/commands/{name}.py").read_text())
    examples = re.findall(r"^\{program\}(.*)$", ast.get_docstring(module), re.MULTILINE)
    assert examples
    for example in examples:
        assert f"\nunet-deblur {name}{example}\n" in of_command
        assert f"\npython {name}.py{example}\n" in of_script
    for text, other in ((of_command, f"{name}.py"), (of_script, "unet-deblur")):
        assert other not in text
        assert "{program}" not in text


@pytest.mark.parametrize("flags", [(name,) for name in SCRIPTS] + [("explain", "heatmaps"), ("explain", "cost")])
def test_command_and_script_take_the_same_flags(said, flags):
    texts = said["unet-deblur", *flags, "--help"], said[f"{flags[0]}.py", *flags[1:], "--help"]
    # After the usage and the description, which hold the program's name.
    ours, theirs = (
        re.split(r"^(?:positional arguments|options):$", text, maxsplit=1, flags=re.MULTILINE) for text in texts
    )
    assert ours[1] == theirs[1]
    assert "--help" in ours[1]


def test_completion_in_bash(said, tmp_path):
    script = tmp_path / "completion.bash"
    script.write_text(said["unet-deblur", "--print-completion", "bash"])
    bash = shutil.which("bash")
    subprocess.run([bash, "-n", script], check=True)

    def completed(*words):
        code = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_unet_deblur; echo "${COMPREPLY[@]}"'
        done = subprocess.run([bash, "-c", code, script, *words], capture_output=True, text=True, check=True)
        return set(done.stdout.split())

    assert completed("unet-deblur", "") >= set(COMMANDS)
    assert completed("unet-deblur", "ev") == {"evaluate"}
    assert completed("unet-deblur", "train", "--vari") == {"--variant"}
    assert completed("unet-deblur", "train", "--variant", "concat_s") == {"concat_se"}


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    "words", [["deblur", "pho"], ["explain", "heatmaps", "pho"], ["evaluate", "--restored", "pho"]]
)
def test_the_shell_completes_paths(tmp_path, words):
    (tmp_path / "photo.png").touch()
    typed = " ".join(["unet-deblur", *words])
    script = f"""
        eval "$({sys.executable} -m unet_deblur_tf --print-completion bash)"
        COMP_WORDS=({typed}) COMP_CWORD={len(words)} COMP_LINE="{typed}" COMP_POINT={len(typed)}
        $(complete -p unet-deblur | sed 's/.*-F \\([^ ]*\\).*/\\1/') unet-deblur pho {words[-2]}
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["photo.png"], done.stderr
