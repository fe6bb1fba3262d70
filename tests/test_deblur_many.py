"""deblur-many: the same results as deblur by Beam, whatever is killed on the way, from and to any file system."""

import contextlib
import functools
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import hostile
import numpy as np
import psutil
import pytest
from helpers import ROOT, assert_one_line_error, run_script_here, save_picture, wait_until
from test_video import moving

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.restoring.deblur import deblur

pytest.importorskip("apache_beam", reason="needs the extra beam")

from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.filesystems import FileSystems
from apache_beam.io.localfilesystem import LocalFileSystem
from apache_beam.runners.portability import prism_runner

from unet_deblur_tf.restoring.many import running, storage, worker
from unet_deblur_tf.restoring.many.pipeline import deblur_many

COLOUR = np.random.default_rng(11).integers(0, 256, (24, 36, 3), np.uint8)
COMMAND = ROOT / "unet_deblur_tf/__main__.py"


def run_here(*arguments, cwd):
    """`unet-deblur deblur-many ...` in this process."""
    return run_script_here(COMMAND.relative_to(ROOT), "deblur-many", *arguments, cwd=cwd)


def many(inputs, network, output, **options):
    """`deblur_many` of paths, quietly; returns its `Counts`."""
    paths = [str(path) for path in (inputs if isinstance(inputs, list) else [inputs])]
    return deblur_many(paths, model=str(network), output=str(output), progress=False, **options)


def files(folder):
    """The visible files of a folder: dict from relative path to bytes."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def failures(output):
    """What failed.jsonl says: dict from source to reason."""
    path = Path(output, "failed.jsonl")
    lines = path.read_text().splitlines() if path.exists() else []
    return {record["source"]: record["reason"] for record in map(json.loads, lines)}


def awkward(folder, count):
    """Good and damaged files of all formats, alternating; returns the folder."""
    folder.mkdir(parents=True)
    good = hostile.good_files()
    for number in range(count):
        kind, data = good[number // 2 % len(good)] if number % 2 else hostile.mutant(0, number)
        (folder / f"{number:03}.{kind}").write_bytes(data)
    return folder


def assert_as_deblur(inputs, model, output, reference):
    """The results are those of `deblur`, to the byte, and failed.jsonl names what `deblur` could not restore."""
    outcome = deblur(inputs, str(model), reference, recursive=True, progress=False)
    assert outcome.written
    assert outcome.failed
    made = files(output)
    del made["failed.jsonl"]
    assert made.keys() == files(reference).keys()
    assert not [name for name, data in files(reference).items() if made[name] != data]
    assert failures(output).keys() == {str(path) for path in outcome.failed}
    leftovers = {path.name for path in output.rglob(".*")} - {".deblur-many.lock"}
    assert not leftovers


@pytest.fixture
def folder(tmp_path):
    """A folder with good and bad files, and one below."""
    root = tmp_path / "holiday"
    for name in ("a.jpg", "b.png", "day 2/c.png"):
        save_picture(root / name, COLOUR)
    (root / "text.png").write_text("no picture")
    (root / ".hidden.png").write_bytes((root / "b.png").read_bytes())
    return root


def test_awkward_files_come_out_as_from_deblur(inverter, tmp_path):
    inputs = awkward(tmp_path / "in", 120)
    counts = many(inputs, inverter, tmp_path / "out")
    assert_as_deblur(inputs, inverter, tmp_path / "out", tmp_path / "reference")
    assert counts.restored == len(files(tmp_path / "reference"))
    assert counts.failed == len(failures(tmp_path / "out"))
    assert counts.restored + counts.failed == 120


def test_reasons_are_those_of_deblur(folder, inverter, tmp_path):
    shutil.copy(folder / "b.png", folder / "b.bmp")
    (folder / "short.jpg").write_bytes((folder / "a.jpg").read_bytes()[:400])
    many(folder, inverter, tmp_path / "out", recursive=True)
    expected = deblur(folder, inverter, tmp_path / "reference", recursive=True, progress=False).failed

    def without_addresses(reasons):
        return {str(path): reason.partition(" object at ")[0] for path, reason in reasons.items()}

    assert without_addresses(failures(tmp_path / "out")) == without_addresses(expected)


def test_the_command_says_what_it_did(folder, inverter, tmp_path):
    arguments = ["holiday", "gone.png", "--recursive", "--model", inverter, "--output", "out"]
    done = run_here(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert "3 restored in out/, 0 were there already, 2 failed (failed.jsonl there says why)" in done.stdout
    assert set(files(tmp_path / "out")) == {"a.jpg", "b.png", "day 2/c.png", "failed.jsonl"}
    assert failures(tmp_path / "out")[str(tmp_path / "gone.png")] == "there is no such file"
    (tmp_path / "out/b.png").write_text("edited since")
    (folder / "text.png").unlink()
    done = run_here(*arguments[:1], *arguments[2:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0 restored in out/, 3 were there already, 0 failed: " in done.stdout
    assert (tmp_path / "out/b.png").read_text() == "edited since"
    assert not (tmp_path / "out/failed.jsonl").exists()


def test_lists(folder, inverter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [
        b"\xef\xbb\xbfholiday/a.jpg\r\n",
        b"\n",
        b"holiday/day 2/*.png\n",
        b"caf\xe9.png\n",
        str(folder / "b.png").encode(),
    ]
    Path("[1] lists").mkdir()
    Path("[1] lists/a.txt").write_bytes(b"".join(lines))
    counts = many([], inverter, "out", lists=["[1] lists/a.txt"])
    assert set(files(tmp_path / "out")) == {"a.jpg", "b.png", "c.png", "failed.jsonl"}
    assert failures("out") == {str(tmp_path / "caf\\xe9.png"): "there is no such file"}
    assert counts[:3] == (3, 0, 1)


def test_nothing_is_replaced(folder, inverter, tmp_path):
    shutil.copy(folder / "b.png", folder / "day 2/b.png")
    before = files(folder)
    many([folder / "b.png", folder / "day 2/b.png", folder / "a.jpg"], inverter, tmp_path / "out")
    assert set(files(tmp_path / "out")) == {"a.jpg", "b.png", "failed.jsonl"}
    (reason,) = failures(tmp_path / "out").values()
    assert f"would replace the result of {folder / 'b.png'}" in reason
    many([folder / "b.png", folder / "a.jpg"], inverter, folder)
    assert {"an original" in reason for reason in failures(folder).values()} == {True}
    assert {name: data for name, data in files(folder).items() if name != "failed.jsonl"} == before


def test_one_file_given_twice(folder, inverter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(folder)
    given = ["holiday/b.png", folder / "b.png", "holiday", "./holiday/../holiday/*.png", "link/b.png"]
    counts = many(given, inverter, "out")
    assert set(files(tmp_path / "out")) == {"a.jpg", "b.png", "failed.jsonl"}
    assert counts[:3] == (2, 0, 1)


def test_results_are_not_restored_again(folder, inverter, monkeypatch):
    monkeypatch.chdir(folder)
    assert many(".", inverter, "restored", recursive=True).restored == 3
    assert many([".", "**.png"], inverter, "restored", recursive=True)[:2] == (0, 3)


def test_what_lies_below_the_output_folder_is_restored(folder, inverter, tmp_path, monkeypatch):
    """As by `deblur`: results are only dropped where their folder is inside what is searched."""
    monkeypatch.chdir(tmp_path)
    assert many("holiday", inverter, ".")[:3] == (2, 0, 1)
    assert {"a.jpg", "b.png"} <= set(files(tmp_path))
    assert many("holiday/day*/*.png", inverter, ".")[:3] == (1, 0, 0)


def test_names_with_special_characters(inverter, tmp_path):
    names = ["[1] 50%*.png", "a\nb.png", "ü?.png", "#x [a-b]/c.png"]
    for name in names:
        save_picture(tmp_path / "[in]" / name, COLOUR)
    broken = os.fsdecode(os.fsencode(tmp_path / "[in]") + b"/\xff.png")
    shutil.copy(tmp_path / "[in]" / names[0], broken)
    counts = many(tmp_path / "[in]", inverter, tmp_path / "out [2]*", recursive=True)
    assert counts[:3] == (4, 0, 1)
    assert set(files(tmp_path / "out [2]*")) == {*names, "failed.jsonl"}
    assert failures(tmp_path / "out [2]*") == {
        str(tmp_path / "[in]/\\udcff.png"): "its name is not valid UTF-8: rename it"
    }


def test_attempts_are_counted_without_a_look_at_other_folders(tmp_path, monkeypatch):
    """Beam looks through all folders below the first special character of a path."""
    output = tmp_path / "[2024] Italy"
    monkeypatch.setattr(storage, "matching", lambda pattern: pytest.fail(f"{pattern} was searched"))
    with storage.writing(f"{output}/a.png", str(output)) as result:
        assert [result] == [*(output / ".unfinished").iterdir()]
        other = result.with_name(f"{result.name[:18]}{'0' * 32}.png")
        for number in range(2):
            shutil.copyfile(result, other.with_stem(f"{other.stem[:-1]}{number}"))
        with (
            pytest.raises(InputError, match="3 attempts ended the process"),
            storage.writing(f"{output}/a.png", str(output)),
        ):
            pass
        result.write_bytes(b"done")
    assert (output / "a.png").read_bytes() == b"done"
    storage.remove_unfinished(str(output))
    assert [path.name for path in output.iterdir()] == ["a.png"]


def test_a_video(inverter, tmp_path):
    av = pytest.importorskip("av")
    film = moving(tmp_path / "film.mp4")
    assert many(film, inverter, tmp_path / "out").restored == 1
    deblur(film, inverter, tmp_path / "reference", progress=False)
    made, expected = (
        [frame.to_ndarray(format="rgb24") for frame in av.open(str(tmp_path / name / "film.mp4")).decode(video=0)]
        for name in ("out", "reference")
    )
    np.testing.assert_array_equal(made, expected)


class Box(LocalFileSystem):
    """A file system that is not local: box:///PATH is below the folder `root`. Like S3, it has no empty files."""

    root: Path

    @classmethod
    def scheme(cls):
        return "box"

    def _here(self, path):
        return str(self.root) + path.removeprefix("box://")

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        return path.rpartition("/")[::2]

    def mkdirs(self, path):
        super().mkdirs(self._here(path))

    def has_dirs(self):
        return False

    def exists(self, path):
        return Path(self._here(path)).is_file()

    def metadata(self, path):
        return FileMetadata(path, os.path.getsize(self._here(path)))

    def _list(self, dir_or_prefix):
        paths = (path for path in self.root.rglob("*") if path.is_file())
        names = (f"box:///{path.relative_to(self.root)}" for path in paths)
        return (self.metadata(name) for name in names if name.startswith(dir_or_prefix))

    def create(self, path, *arguments, **options):
        return super().create(self._here(path), *arguments, **options)

    def open(self, path, *arguments, **options):
        return super().open(self._here(path), *arguments, **options)

    def rename(self, sources, targets):
        assert all(os.path.getsize(self._here(path)) for path in sources)
        super().rename([self._here(path) for path in sources], [self._here(path) for path in targets])

    def delete(self, paths):
        for path in paths:
            os.remove(self._here(path))


@pytest.mark.parametrize("given", ["box:///in", "box:///in/", "box:///in/**"])
def test_another_file_system(given, inverter, tmp_path, monkeypatch):
    monkeypatch.setattr(Box, "root", tmp_path / "box", raising=False)
    inputs = awkward(tmp_path / "box/in", 30)
    counts = many([given, "box:///none.png"], inverter, "box:///out", recursive=True)
    reasons = failures(tmp_path / "box/out")
    assert reasons.pop("box:///none.png") == "there is no such file"
    expected = deblur(inputs, inverter, tmp_path / "reference", progress=False)
    made = files(tmp_path / "box/out")
    del made["failed.jsonl"]
    assert made == files(tmp_path / "reference")
    assert counts[:3] == (len(made), 0, len(expected.failed) + 1)
    assert reasons.keys() == {f"box:///in/{path.name}" for path in expected.failed}
    assert all(reason.startswith(source) for source, reason in reasons.items())
    assert {path.name for path in (tmp_path / "box").rglob("*")} == {"in", "out", "failed.jsonl", ".unfinished"} | {
        *files(inputs), *made,
    }  # fmt: skip
    assert many(given, inverter, "box:///out", recursive=True)[:2] == (0, counts.restored)


def test_a_file_that_ends_its_process_does_not_stop_the_others(folder, inverter, tmp_path):
    target = str(tmp_path / "out/b.png")
    for _ in range(storage.ATTEMPTS):
        # An exception that is no `Exception` leaves what SIGKILL would.
        with pytest.raises(KeyboardInterrupt), storage.writing(target, str(tmp_path / "out")):
            raise KeyboardInterrupt
    assert many(folder, inverter, tmp_path / "out")[:3] == (1, 0, 2)
    assert "3 attempts ended the process" in failures(tmp_path / "out")[str(folder / "b.png")]
    assert not (tmp_path / "out/.unfinished").exists()
    assert many(folder, inverter, tmp_path / "out")[:3] == (1, 1, 1)


def test_two_commands_do_not_write_to_one_folder(folder, inverter, tmp_path):
    with (
        storage.reserved(str(tmp_path / "out")),
        pytest.raises(InputError, match="Another deblur-many is writing to"),
    ):
        many(folder, inverter, tmp_path / "out")


def test_the_network_is_loaded_once(folder, inverter, tmp_path, monkeypatch):
    made, original = [], worker.Restorer
    monkeypatch.setattr(worker, "Restorer", lambda *args, **options: made.append(1) or original(*args, **options))
    assert many(folder, inverter, tmp_path / "out", recursive=True).restored == 3
    assert len(made) == 1


def test_prism_does_not_take_the_place_of_the_direct_runner(folder, inverter, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(prism_runner, "PrismRunner", lambda: asked.append(1))
    assert many(folder, inverter, tmp_path / "out").restored == 2
    assert not asked


def test_processes_share_the_memory(inverter, monkeypatch):
    network = worker.Network(str(inverter), 4, memory=12e9, strength=0.5)
    assert network.load().restore.options.memory == 3e9
    assert network.load().restore.options.strength == 0.5
    monkeypatch.setattr(worker, "free_memory", lambda: 16e9)
    used = psutil.Process().memory_info().rss
    assert worker.Network(None, 4)._memory() == pytest.approx(used + 2e9, rel=0.01)
    assert worker.Network(None, 1)._memory() is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "No INPUT and no --list"),
        (["empty"], "No pictures in"),
        (["ftp://host/a.png"], "There is no file system for ftp://host/a.png"),
        (["a.png", "--list", "gone.txt"], "There is no list"),
        (["a.png", "--runner", "Direct0"], "--runner Direct0: Unexpected pipeline runner"),
        (["a.png", "--beam", "direct_running_mode=fast"], "--beam: argument --direct_running_mode: invalid choice"),
        (["a.png", "--model", "gone"], "No such model: gone"),
        (["a.png", "--strength", "0.5", "--tile", "5"], "--tile must be 0 or at least"),
        (["a.png", "--output", "a.png"], "Cannot write to"),
        ([os.fsdecode(b"\xff.png")], "is not valid UTF-8"),
    ],
)
def test_bad_input_is_one_line(arguments, said, tmp_path):
    (tmp_path / "empty").mkdir()
    save_picture(tmp_path / "a.png", COLOUR)
    assert_one_line_error(run_here("--model", "lite", *arguments, cwd=tmp_path), said)


def test_without_beam(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert_one_line_error(run_here("a.png", cwd=tmp_path), 'pip install "unet_deblur_tf[beam]"')


def test_a_step_that_fails_is_one_line(folder, inverter, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(storage, "write_text", full)
    done = run_here(folder, "--model", inverter, cwd=tmp_path)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].endswith("Give the same command again: it finishes the rest")


# In processes of their own


@pytest.fixture
def start(tmp_path):
    """A function that starts the command, which writes to said.txt. What runs at the end of the test is killed."""
    started = []

    def begin(inputs, output, workers=2):
        words = [COMMAND, "deblur-many", inputs, "--output", output, "--model", "lite", "--workers", workers]
        command = [sys.executable, *map(str, words)]
        with (tmp_path / "said.txt").open("w") as said:
            started.append(subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def workers_of(process):
    """The processes of Beam below a process, without the shells between."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.cmdline()[1:] == ["-m", running.WORKER_MODULE]:
                found.append(child)
    return found


@pytest.mark.slow
def test_killed_at_five_random_moments_the_same_command_finishes_the_rest(start, tmp_path):
    inputs, output, rng = awkward(tmp_path / "in", 300), tmp_path / "out", np.random.default_rng(32)
    output.mkdir()
    for number, moment in enumerate(np.sort(rng.choice(150, 5, replace=False))):
        process = start(inputs, output)
        working = functools.partial(workers_of, process)
        wait_until(lambda working=working, moment=moment: working() and len(files(output)) > moment, process)
        victim = process if number % 2 else rng.choice(workers_of(process))
        victim.kill()
        process.wait(60)
        assert process.returncode == (-signal.SIGKILL if number % 2 else 1)
    process = start(inputs, output)
    assert process.wait(600) == 1  # for the damaged files
    assert "failed (failed.jsonl there says why)" in (tmp_path / "said.txt").read_text(errors="replace")
    assert_as_deblur(inputs, "lite", output, tmp_path / "reference")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "count"), [(signal.SIGTERM, 143, 2), (signal.SIGINT, 130, 2), (signal.SIGTERM, 143, 1)]
)
def test_a_signal_ends_all_processes(number, status, count, start, tmp_path):
    process = start(awkward(tmp_path / "in", 300), tmp_path / "out", count)
    wait_until(lambda: len(files(tmp_path / "out")) > 5, process)
    workers = workers_of(process)
    assert len(workers) == (2 if count == 2 else 0)  # one is the command itself
    # Ctrl-C in a terminal goes to all processes, `kill` to one.
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    assert process.wait(60) == status
    assert "Traceback" not in (tmp_path / "said.txt").read_text(errors="replace")
    assert psutil.wait_procs(workers, timeout=10)[1] == []
    assert not (tmp_path / "out/.unfinished").exists()


@pytest.mark.slow
def test_a_runner_that_is_asked_by_the_job_service(tmp_path):
    """Beam's own one, over the protocol that Flink and Spark have, too."""
    inputs = awkward(tmp_path / "in", 60)
    options = dict(runner="PortableRunner", beam_flags=["job_endpoint=embed", "environment_type=LOOPBACK"])
    counts = many(inputs, "lite", tmp_path / "out", **options)
    assert_as_deblur(inputs, "lite", tmp_path / "out", tmp_path / "reference")
    assert counts.restored + counts.failed == 60


def test_options_reach_the_file_systems():
    options = running.pipeline_options("direct", 2, ["s3_endpoint_url=http://localhost:1"])
    FileSystems.set_options(options)
    parsed = options.get_all_options()
    assert parsed["s3_endpoint_url"] == "http://localhost:1"
    assert (parsed["direct_num_workers"], parsed["direct_running_mode"]) == (2, "multi_processing")
