"""The page: what is on it, and what happens when a visitor does something."""

import contextlib
import html
import threading
import traceback
from pathlib import Path
from types import SimpleNamespace

from unet_deblur_tf.app import jobs
from unet_deblur_tf.app.limits import Limits
from unet_deblur_tf.app.networks import NAMES, Networks
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils.formats import PHOTOS

TITLE = "Remove motion blur from photos"
ABOUT = (
    "This page reduces blur from camera shake and from moving objects. "
    "It does not correct wrong focus, and strong blur becomes weaker but does not vanish."
)
HINT = "Left: your photo. Right: restored. Move the line to compare. Zoom with the mouse wheel, and drag to move."
LABELS = {
    "unet": "Best result (unet)",
    "lite": "Three times as fast (lite)",
    "concat_se": "Attention, twice as slow (concat_se)",
}
CHOICES = {LABELS.get(name, name): name for name in NAMES}
# Sets what `look.STYLE` makes the opacity of the restored picture over the blurred one: what `jobs.blend` computes, but
# without a request.
SHOW_STRENGTH = "(strength) => { document.documentElement.style.setProperty('--strength', strength); }"
SAVE_FILE = """(file) => {
    if (!file) return; // the page says why
    const link = document.createElement("a");
    link.href = file.url;
    link.download = file.orig_name;
    document.body.append(link);
    link.click();
    link.remove();
}"""


def build(work: Path, limits: Limits, networks: Networks):
    """Builds the page.

    Args:
        work: `Path` of the folder for the files of all visitors.
        limits: `Limits`.
        networks: `Networks`.

    Returns:
        A `gradio.Blocks`.
    """
    import gradio as gr

    seconds = 60 * limits.minutes
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(60, seconds)) as page:
        parts = _lay_out(gr)
        # What `jobs` knows of the visitor's photos; it stays on the server.
        parts.results = gr.State([], time_to_live=seconds, delete_callback=jobs.discard)
        _connect_restoring(gr, parts, work, limits, networks)
        _connect_results(gr, parts)
    return page


def _lay_out(gr):
    """Puts the parts on the page, from top to bottom; returns them by name."""
    parts = SimpleNamespace()
    gr.Markdown(f"# {TITLE}\n\n{ABOUT}")
    parts.uploads = gr.File(label="Photos", file_count="multiple", file_types=sorted(PHOTOS), elem_id="uploads")
    with gr.Row(elem_id="options"):
        parts.network = gr.Radio(
            list(CHOICES),
            value=next(iter(CHOICES)),
            label="Network",
            show_label=False,
            container=False,
            elem_id="network",
        )
        parts.ensemble = gr.Checkbox(label="Ensemble: a little better, eight times slower", container=False)
        parts.start = gr.Button("Restore", variant="primary", elem_id="start", size="md")
    parts.messages = gr.HTML(visible=False, elem_id="messages")
    with gr.Column(visible=False, elem_id="results") as parts.area:
        parts.chosen = gr.Dropdown(label="Photo", visible=False, elem_id="chosen")
        parts.slider = gr.ImageSlider(
            show_label=False, buttons=["fullscreen"], max_height=720, interactive=False, elem_id="slider"
        )
        gr.HTML(f'<div id="hint">{HINT}</div>')
        with gr.Row(elem_id="actions"):
            parts.strength = gr.Slider(
                0.05, 1, value=1, step=0.05, label="Strength of the correction", elem_id="strength", buttons=[]
            )
            parts.download = gr.Button("Download", elem_id="download", size="md")
            parts.download_all = gr.Button("Download all", elem_id="download-all", size="md", visible=False)
        parts.failure = gr.HTML(visible=False, elem_id="failure")
    # It is never seen: it carries a written file to the browser.
    parts.file = gr.DownloadButton(visible="hidden")
    return parts


def _connect_restoring(gr, parts, work, limits, networks):
    """Connects the button that restores. One visitor's photos are restored at a time; the others wait."""
    bar = gr.Progress()

    def restore(files, choice, ensemble, old, progress=bar):
        def report(number, name, share):
            progress((number + share) / len(files), desc=f"Photo {number + 1} of {len(files)}")

        def restorer(*arguments, **options):
            return networks.get(CHOICES[choice], ensemble)(*arguments, **options)

        with _errors_shown(gr):
            restored, failed = jobs.restore_files(map(Path, files or ()), work, restorer, limits, report)
        jobs.discard(old or ())  # nothing is left of a state that has expired
        names, messages = [result.name for result in restored], as_list(restored, failed)
        return {
            parts.results: restored,
            parts.messages: gr.HTML(messages, visible=bool(messages)),
            parts.area: gr.Column(visible=bool(restored)),
            parts.chosen: gr.Dropdown(names, value=names[0] if names else None, visible=len(names) > 1),
            parts.slider: restored[0].shown if restored else None,
            parts.download_all: gr.Button(visible=len(names) > 1),
            parts.failure: gr.HTML(visible=False),
        }

    parts.start.click(
        restore,
        [parts.uploads, parts.network, parts.ensemble, parts.results],
        [parts.results, parts.messages, parts.area, parts.chosen, parts.slider, parts.download_all, parts.failure],
        show_progress_on=parts.uploads,
        concurrency_limit=1,
        api_visibility="private",
    )


def _connect_results(gr, parts):
    """Connects what the visitor does with the results. None of it waits for the network."""
    few_at_once = threading.Semaphore(2)  # a file takes memory and a core while it is written

    def named(name, restored):
        if not restored:
            raise InputError("These photos have been deleted here. Restore them again.")
        return next((result for result in restored if result.name == name), restored[0])

    def show(name, restored):
        return jobs.shown(named(name, restored))

    def write(name, strength, restored):
        with few_at_once:
            return jobs.write_result(named(name, restored), strength)

    def write_all(name, strength, restored):
        with few_at_once:
            return jobs.write_zip(restored, strength, named(name, restored).folder / "restored.zip")

    def connect(event, function, inputs, output):
        # Gradio has one queue for everything, and waiting visitors could fill it up for those whose photos are done.
        return event(
            _failing_in_words(gr, function),
            inputs,
            [output, parts.failure],
            queue=False,
            api_visibility="private",
            show_progress="hidden",
        )

    connect(parts.chosen.input, show, [parts.chosen, parts.results], parts.slider)
    parts.strength.change(None, parts.strength, None, js=SHOW_STRENGTH)
    for button, function in ((parts.download, write), (parts.download_all, write_all)):
        written = connect(button.click, function, [parts.chosen, parts.strength, parts.results], parts.file)
        written.success(None, parts.file, None, js=SAVE_FILE)


def _failing_in_words(gr, function):
    """Makes a function return (its result, what to show of a failure). Without the queue, Gradio shows no errors."""

    def answer(*values):
        try:
            return function(*values), gr.HTML(visible=False)
        except InputError as error:
            said = str(error)
        except Exception:  # whatever it is, the visitor has to hear of it
            traceback.print_exc()
            said = "Something went wrong here. Try again."
        return None, gr.HTML(f'<p role="alert">{html.escape(said)}</p>', visible=True)

    return answer


@contextlib.contextmanager
def _errors_shown(gr):
    """Within the block, an `InputError` becomes an error that the page shows."""
    try:
        yield
    except InputError as error:
        raise gr.Error(html.escape(str(error)), print_exception=False) from error


def as_list(restored: list[jobs.Restored], failed: dict[str, str]) -> str:
    """Says, as HTML, what the visitor has to know of each photo: why it could not be restored, or what has changed."""
    lines = [f'<li class="failed">{html.escape(reason)}</li>' for reason in failed.values()]
    lines += [
        f"<li>{html.escape(result.name)}: {html.escape(', '.join(result.notes))}</li>"
        for result in restored
        if result.notes
    ]
    return f"<ul>{''.join(lines)}</ul>" if lines else ""
