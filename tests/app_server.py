"""Starts `unet-deblur app` as people do, and talks to it as the page does."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request

# Python runs it at the start of the process: it writes down whom the process calls.
SITECUSTOMIZE = """
import sys

def note(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        with open({path!r}, "a") as file:
            file.write(f"{{arguments[1][0]}}\\n")

sys.addaudithook(note)
"""


class Visitor:
    """Talks to the app as the page of one visitor does.

    Args:
        address: str, of the page.
        name: str, by which the server tells visitors apart.
    """

    def __init__(self, address, name="visitor"):
        self.address, self.name = address, name

    def ask(self, path, data=None, kind="application/json"):
        """The status and the body of an answer."""
        request = urllib.request.Request(self.address + path, data, {"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def upload(self, content, path="upload"):
        """Uploads bytes as photo.png; returns the status and the body of the answer, a list of one path."""
        head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="photo.png"\r\n\r\n'
        return self.ask(f"gradio_api/{path}", head + content + b"\r\n--x--\r\n", "multipart/form-data; boundary=x")

    def restore(self, *paths, **more):
        """Asks for files of the server to be restored, as the page does; returns the last message of the server."""
        return self.click("start", *_choices(paths, more))

    def begin(self, *paths):
        """As `restore`, but does not wait; returns the status and the body of the answer."""
        return self.join("start", *_choices(paths))

    def click(self, button, *values):
        """Does what the page does when a button is clicked; returns the last message of the server."""
        status, said = self.join(button, *values)
        assert status == 200, said
        url = f"{self.address}gradio_api/queue/data?session_hash={self.name}"
        with urllib.request.urlopen(url, timeout=120) as lines:
            for line in lines:
                message = json.loads(line.removeprefix(b"data:")) if line.startswith(b"data:") else {}
                if message.get("msg") == "process_completed":
                    return message
        raise AssertionError("no answer")

    def join(self, button, *values):
        """Takes a place in the queue if the button has one; returns the status and the body of the answer."""
        config = json.loads(self.ask("config")[1])
        number = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == button)
        function = next(each for each in config["dependencies"] if [number, "click"] in each["targets"])
        event = {"data": values, "fn_index": function["id"], "session_hash": self.name, "trigger_id": number}
        path = "gradio_api/queue/join?" if function["queue"] else "gradio_api/run/predict?"
        return self.ask(path, json.dumps(event).encode())


def _choices(paths, more=None):
    """The values that the page sends with the button that restores."""
    kind = {"orig_name": "photo.png", "meta": {"_type": "gradio.FileData"}, **(more or {})}
    return [{"path": path, **kind} for path in paths] or None, "Three times as fast (lite)", False, None


class AppServer(Visitor):
    """The app as a process on a free port, within a `with` block.

    Args:
        folder: `Path`, for its temporary files.
        *flags: str, of the command.

    Attributes:
        folder: see above.
        process: `subprocess.Popen`.
        address: str, of the page.
    """

    def __init__(self, folder, *flags):
        self.folder = folder
        self._calls = folder / "calls.txt"
        (folder / "site").mkdir()
        (folder / "site/sitecustomize.py").write_text(SITECUSTOMIZE.format(path=str(self._calls)))
        command = [sys.executable, "-m", "unet_deblur_tf", "app", "--no-browser", "--port", "0", *flags]
        path = os.pathsep.join(filter(None, [str(folder / "site"), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": path}
        self.process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        super().__init__(re.search(r"http://\S+/", line)[0])

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.communicate(timeout=60)

    def connections(self):
        """The addresses that the process has connected to."""
        return set(self._calls.read_text().split())
