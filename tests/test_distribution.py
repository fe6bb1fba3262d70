"""Several devices and several machines (here: processes on this one) train what one would have trained."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import ROOT, TWO_DEVICES, load_trained, read_history, run_script, save_pair, wait_until

from unet_deblur_tf.data.synthesis.scenes import scene
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.training import checkpoints, distribution

RUN = ["--variant", "lite", "--data", "pairs", "--batch-size", "6", "--crop", "32", "--epochs", "2"]
RUN += ["--steps-per-epoch", "3"]
MUON = ["--norm", "none", "--optimizer", "muon"]
# Batch norm makes the first steps of a fresh network chaotic at a usual rate.
BATCH = ["--norm", "batch", "--optimizer", "adamw", "--learning-rate", "1e-5"]
# So small a rate that validation stands still and the rate falls.
PLATEAU = ["--recipe", "original", "--head", "residual", "--norm", "none", "--learning-rate", "1e-6", "--epochs", "6"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with pairs: six to validate on, which two and three can divide."""
    work = tmp_path_factory.mktemp("work")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 6), ("test", 1)):
        for number in range(count):
            sharp = np.round(scene(rng, 64, 64) * 255).astype(np.uint8)
            save_pair(
                work / "pairs", f"{split}/S{number}/{{}}/0.png", np.roll(sharp, 1, axis=1) // 2 + sharp // 2, sharp
            )
    return work


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Workers:
    """Processes of one cluster, each started with the same command."""

    def __init__(self, folder, count, command):
        self.folder, self.command = folder, [sys.executable, *map(str, command)]
        self.addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
        self.processes = [None] * count
        for index in range(count):
            self.start(index)

    def start(self, index):
        task = {"cluster": {"worker": self.addresses}, "task": {"type": "worker", "index": index}}
        with open(self.folder / f"{self.addresses[index]}.log", "a") as log:
            self.processes[index] = subprocess.Popen(
                self.command, cwd=self.folder, env={**os.environ, "TF_CONFIG": json.dumps(task)}, stdout=log, stderr=log
            )

    def said(self, index):
        return (self.folder / f"{self.addresses[index]}.log").read_text(errors="replace")

    def wait(self, seconds=400, expected=0):
        deadline = time.monotonic() + seconds
        try:
            codes = [process.wait(max(1, deadline - time.monotonic())) for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()
        assert codes == [expected] * len(codes), "\n".join(self.said(index)[-3000:] for index in range(len(codes)))


def alone(folder, flags):
    """What one process makes of it; once for all tests."""
    output = "alone-" + "-".join(flags).replace("--", "")
    if not (folder / output).exists():
        done = run_script("train.py", *RUN, *flags, "--output", output, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder / output / "lite"


def assert_equal(ours, theirs, tolerance=1e-4):
    for one, other in zip(load_trained(ours).weights, load_trained(theirs).weights):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=tolerance, err_msg=one.path)
    rows, others = read_history(ours), read_history(theirs)
    assert len(rows) == len(others)
    for row, other in zip(rows, others):
        for key in row:
            assert float(row[key]) == pytest.approx(float(other[key]), abs=tolerance, rel=tolerance), key


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "flags"),
    [(2, MUON), (3, MUON), (2, BATCH), (3, PLATEAU)],
    ids=["two", "three", "two, batch norm", "three, plateau"],
)
def test_workers_train_what_one_process_would(folder, count, flags):
    expected = alone(folder, flags)
    output = f"{count}-{expected.parent.name}"
    workers = Workers(folder, count, [ROOT / "train.py", *RUN, *flags, "--output", output])
    workers.wait()
    assert_equal(expected, folder / output / "lite", 5e-6 if flags is PLATEAU else 1e-4)
    if flags is PLATEAU:
        rates = [float(row["learning_rate"]) for row in read_history(expected)]
        assert rates[-1] < rates[0]
    assert f"{count} devices, {6 // count} of the 6 crops of a batch on each" in workers.said(0)
    assert "Done; the first worker writes" in workers.said(1)
    assert "3/3" not in workers.said(1)  # one progress bar is enough


@pytest.mark.slow
@pytest.mark.parametrize("flags", [MUON, BATCH], ids=["muon", "batch norm"])
def test_two_devices_of_one_machine_train_what_one_would(folder, flags):
    expected = alone(folder, flags)
    output = f"mirrored-{expected.parent.name}"
    code = TWO_DEVICES + 'from unet_deblur_tf.commands.main import run_script\nrun_script("train")\n'
    command = [sys.executable, "-c", code, *RUN, *flags, "--output", output]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert_equal(expected, folder / output / "lite")


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1], ids=["first", "second"])
def test_a_killed_worker_comes_back_and_the_job_goes_on(folder, victim):
    # At a usual rate rounding errors grow above the tolerance in so many steps.
    flags = [*MUON, "--epochs", "12", "--steps-per-epoch", "20", "--learning-rate", "1e-5"]
    expected = alone(folder, flags)
    output = f"killed-{victim}"
    workers = Workers(folder, 2, [ROOT / "train.py", *RUN, *flags, "--output", output])
    wait_until(
        lambda: checkpoints.completed_epochs(folder / output / "lite/.training"), workers.processes[victim], seconds=200
    )
    workers.processes[victim].send_signal(signal.SIGKILL)
    workers.processes[victim].wait()
    done = checkpoints.completed_epochs(folder / output / "lite/.training")
    assert 0 < done < 12
    time.sleep(3)
    workers.start(victim)
    workers.wait()
    assert "Another worker is gone" in workers.said(1 - victim)
    assert "Going on after epoch" in workers.said(0)
    assert_equal(expected, folder / output / "lite")


@pytest.mark.slow
def test_workers_with_other_settings_are_refused(folder):
    workers = Workers(folder, 2, [ROOT / "train.py", *RUN, *MUON, "--output", "other"])
    workers.processes[1].kill()
    workers.processes[1].wait()
    workers.command += ["--seed", "1"]
    workers.start(1)
    assert workers.processes[1].wait(200) == 2
    workers.processes[0].kill()
    assert "This worker's settings differ from the first one's" in workers.said(1)


# Keras' own `fit` on two workers; the first argument is whether a model's building before the first step is skipped.
PLAIN_FIT = """
import sys
import numpy as np, tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
import keras
with strategy.scope():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
if sys.argv[1] == "built":
    model._maybe_symbolic_build = lambda **_: None
x = np.ones((8, 4), "float32")
model.fit(tf.data.Dataset.from_tensor_slices((x, x[:, :1])).batch(4), epochs=1, verbose=0)
print("trained")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("built", "error"),
    [
        ("anew", r"ValueError: Attempt to convert a value \(PerReplica:.*with an unsupported type .*PerReplica'>\)"),
        ("built", r"ValueError: Invalid reduction dimension 0 for input with 0 dimensions"),
    ],
    ids=["the shape of pictures", "the mean of scalars"],
)
def test_keras_fails_on_workers_without_the_cure(folder, built, error):
    """When this fails, Keras' issue 20585 is mended there: simplify `distribution.Distributed`."""
    (folder / "plain.py").write_text(PLAIN_FIT)
    workers = Workers(folder, 2, ["plain.py", built])
    workers.wait(expected=1)
    for index in range(2):
        assert "trained" not in workers.said(index)
        assert re.search(error, workers.said(index), re.DOTALL), workers.said(index)[-3000:]


# Two devices with one example each. At a weight of 0, the one adds -5 to the gradient of the mean square, the other 1,
# which makes -4.
CLIPPED_FIT = """
import keras, numpy as np
wanted = np.array([[5.0], [-1.0]], "float32")
for kind in (keras.Model, distribution.Distributed):
    with strategy.scope():
        x = keras.Input((1,))
        model = kind(x, keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(x))
        model.compile(optimizer=keras.optimizers.SGD(1.0, global_clipnorm=1.0), loss="mse", jit_compile=False)
    model.fit(tf.data.Dataset.from_tensor_slices((np.ones_like(wanted), wanted)).batch(2), epochs=1, verbose=0)
    print(kind.__name__, float(model.get_weights()[0][0, 0]))
"""


@pytest.mark.slow
def test_keras_clips_the_gradient_of_each_device_by_itself():
    """When this fails, see above: clipped to 1, -5 and 1 add up to 0, while their sum -4 is clipped to -1."""
    done = subprocess.run([sys.executable, "-c", TWO_DEVICES + CLIPPED_FIT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["Model", "0.0", "Distributed", "1.0"]


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "{}",
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"worker": ["a:1"], "chief": ["b:1"]}, "task": {"type": "chief", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "x"}}',
        '["worker"]',
    ],
)
def test_what_is_no_cluster_is_refused(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match="TF_CONFIG must be such as"):
        distribution.cluster()


def test_shares_of_a_cluster(monkeypatch):
    class TwoGpusOnEach:
        num_replicas_in_sync = 6

    assert distribution.cluster() is None
    assert distribution.is_chief()
    task = {"cluster": {"worker": ["a:1", "b:1", "c:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    assert distribution.cluster() == (3, 1)
    assert not distribution.is_chief()
    assert distribution.share(TwoGpusOnEach) == (2, 2, 6)


@pytest.mark.slow
def test_a_restart_is_the_same_command(tmp_path):
    (tmp_path / "again").mkdir()
    (tmp_path / "again/__main__.py").write_text(
        "import sys\n"
        "from unet_deblur_tf.training import distribution\n"
        "if not distribution.was_restarted():\n"
        "    distribution.restart_process(distribution.WorkerLost('gone'))\n"
        "print(__spec__.name, sys.argv[1:])\n"
    )
    command = [sys.executable, "-m", "again", "--seed", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "again.__main__ ['--seed', '1']\n"
    assert "Another worker is gone (gone): restarting" in done.stderr
