"""The order of the sub-packages: each may import from those before it, none from those after it."""

import ast
from pathlib import Path

import pytest

import unet_deblur_tf

ORDER = [
    {"errors", "configs"},
    {"utils"},
    {"models"},
    {"acceleration", "data"},
    {"exporting"},
    {"restoring"},
    {"app", "evaluation", "explaining"},
    {"training"},
    {"commands"},
]
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
PACKAGE = Path(unet_deblur_tf.__file__).parent
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE or path.stem in LEVEL]


def imported_names(path):
    """The modules of this package that a file imports, wherever in the file, as dotted names without the package's."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE.name:
            below = node.module.split(".")[1:]
            found |= {".".join(below)} if below else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = (alias.name.split(".") for alias in node.names)
            found |= {".".join(parts[1:]) for parts in names if parts[0] == PACKAGE.name and len(parts) > 1}
    return {name for name in found if name.split(".")[0] in LEVEL}


def room(path):
    """The sub-package, or the module beside them, that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def test_every_room_has_a_place_in_the_order():
    rooms = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms - {"__init__", "__main__"} == set(LEVEL)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    own = room(path)
    upwards = {
        name for name in imported_names(path) if (other := name.split(".")[0]) != own and LEVEL[other] >= LEVEL[own]
    }
    assert not upwards, f"{path} imports {sorted(upwards)}, which come after {own}"


def test_the_check_sees_an_import_against_the_order(tmp_path):
    file = tmp_path / "wrong.py"
    file.write_text(
        "def f():\n    from unet_deblur_tf.training import train\n    import unet_deblur_tf.commands.main\n"
    )
    assert imported_names(file) == {"training", "commands.main"}
