"""The notebook for beginners: what is committed reads well, and it runs."""

import base64
import json
import re

import pytest
from helpers import ROOT

NOTEBOOK = ROOT / "examples/quickstart.ipynb"
# They name the user, or where packages are installed.
ABSOLUTE_PATHS = re.compile(r"(?<![\w.:/])/[\w.-]+/|[A-Z]:\\")


@pytest.fixture(scope="module")
def notebook():
    """The committed notebook, as the dict of its JSON."""
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


def outputs(cells):
    """All outputs of cells."""
    return [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]


def texts(outputs):
    """What outputs say."""
    for output in outputs:
        yield "".join(output.get("text", output.get("data", {}).get("text/plain", "")))


def test_the_notebook_is_valid(notebook):
    nbformat = pytest.importorskip("nbformat", reason="needs the extra notebook")
    nbformat.validate(notebook)


def test_the_notebook_is_small_and_has_its_outputs(notebook):
    assert NOTEBOOK.stat().st_size < 500_000
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == [*range(1, len(code) + 1)]
    kinds = [output["output_type"] for output in outputs(notebook["cells"])]
    assert len(kinds) > 8
    assert "error" not in kinds
    assert not [
        text for output in outputs(notebook["cells"]) if output.get("name") == "stderr" for text in output["text"]
    ]
    pictures = [
        output["data"]["image/jpeg"] for output in outputs(notebook["cells"]) if "image/jpeg" in output.get("data", {})
    ]
    assert len(pictures) == 3
    assert all(base64.b64decode(picture).startswith(b"\xff\xd8\xff") for picture in pictures)


def test_the_notebook_tells_nothing_of_the_machine_that_ran_it(notebook):
    said = "\n".join(texts(outputs(notebook["cells"])))
    assert "$ unet-deblur train" in said
    assert not ABSOLUTE_PATHS.findall(said)
    assert ABSOLUTE_PATHS.findall("Network  /home/someone/unet.keras")  # the check sees paths


def figures(cells):
    """(PSNR of the blurred and of the restored photo in the caption, largest difference of the served picture)."""
    said = "\n".join(texts(outputs(cells)))
    gain = re.search(r"blurred ([\d.]+) dB, restored ([\d.]+) dB", said)
    return float(gain[1]), float(gain[2]), int(re.search(r"of 255: (\d+)", said)[1])


@pytest.mark.slow
def test_the_notebook_runs(notebook, tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="needs the extra notebook")
    nbclient = pytest.importorskip("nbclient", reason="needs the extra notebook")
    pytest.importorskip("ipykernel", reason="needs the extra notebook")
    fresh = nbformat.read(NOTEBOOK, as_version=4)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = nbclient.NotebookClient(
        fresh, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()  # raises if a cell does
    blurred, restored, apart = figures(fresh.cells)
    assert restored > blurred + 1
    assert apart <= 1
    assert figures(notebook["cells"])[:2] == pytest.approx((blurred, restored), abs=0.1)
    assert (tmp_path / "quickstart/saved_models/lite/2/saved_model.pb").is_file()
