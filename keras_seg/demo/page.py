"""The page of the demo, by Gradio: a photo goes in, `viewer.js` shows what comes out.

Nothing leaves this machine: the server answers this machine alone, Gradio's telemetry
and public links are off, and the page has no font or script of another host.
"""

import contextlib
import html
import os
import socket
import tempfile
from collections.abc import Iterator
from importlib import resources
from typing import Any

import numpy as np

from keras_seg.demo.answer import Answers
from keras_seg.files import unfinished
from keras_seg.packages import check_package, package

_HOST = "127.0.0.1"
# Read by Gradio as it is imported, or as it starts.
_SETTINGS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
# Run by the page: hands each answer to the viewer.
_ON_LOAD = """
const viewer = element.querySelector("segmentation-viewer");
const note = element.querySelector(".note");
const update = () => {
  const answer = props.value;
  viewer.hidden = !answer;
  if (!answer) {
    note.textContent = "The classes of the photo are shown here.";
    return;
  }
  const seconds = answer.seconds.toFixed(2);
  const size = answer.size.join(" x ");
  note.textContent = `${size} pixels, predicted in ${seconds}\u00a0s`;
  viewer.showFiles(answer);
};
watch("value", update);
update();
"""
_CSS = """
.gradio-container { width: 100% !important; max-width: 1180px !important; }
.gradio-container { margin: 0 auto !important; }
#title .html-container, #shown .html-container { padding: 0 !important; }
#title h1 { font-size: 1.4rem; margin: 0; }
#title p, #shown .note { opacity: .75; margin: 4px 0 10px; }
"""


@contextlib.contextmanager
def serving(
    answers: Answers, *, title: str = "keras_seg", port: int | None = None
) -> Iterator[str]:
    """Serve the page to this machine's browsers while the context is open.

    Photos that are dropped on the page are kept in a folder that goes with it.

    Args:
        answers: The model.
        title: What the page is called: the model's name.
        port: Port to listen on, 1 to 65535. None means 7860, or the next free one.

    Yields:
        The address of the page.

    Raises:
        ImportError: if Gradio isn't installed.
        OSError: if another program has the port.
    """
    check_servable(port)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="keras_seg."))
        stack.enter_context(unfinished(folder))
        os.environ |= _SETTINGS | {"GRADIO_TEMP_DIR": folder}
        page, options = _page(package("gradio", "demo"), answers, title)
        stack.callback(page.close, verbose=False)
        _, address, _ = page.launch(
            server_name=_HOST,
            server_port=port,
            share=False,
            inbrowser=False,
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            enable_monitoring=False,
            run_history=False,
            footer_links=[],
            **options,
        )
        yield address


def check_servable(port: int | None) -> None:
    """Raise the errors of `serving` that don't depend on the model.

    Raises:
        ImportError: if Gradio isn't installed.
        OSError: if another program listens on the port, or this one may not.
    """
    if port is not None:
        _check_free(port)
    check_package("gradio", "demo")


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        if os.name == "posix":  # as the server has it: what was closed is free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise OSError(
                f"Expected a free `port`. Received: {port} ({error.strerror}). Try "
                f"another one, or none: then a free one is looked for."
            ) from None


def _page(gradio: Any, answers: Answers, title: str) -> tuple[Any, dict[str, Any]]:
    """The page, and what Gradio wants to know when it is launched."""

    def answer(photo: np.ndarray | None) -> dict[str, Any] | None:
        if photo is None:  # it was taken away
            return None
        try:
            return answers(photo)
        except (ValueError, MemoryError) as error:
            raise gradio.Error(str(error), duration=None) from None

    with gradio.Blocks(title=title, analytics_enabled=False) as page:
        gradio.HTML(
            f"<h1>{html.escape(title)}</h1><p>Photos stay on this machine.</p>",
            elem_id="title",
        )
        with gradio.Row():
            with gradio.Column(scale=1, min_width=280):
                photo = gradio.Image(
                    label="Photo",
                    type="numpy",
                    image_mode="L" if answers.channels == 1 else "RGB",
                    sources=["upload", "clipboard"],
                    height=240,
                )
            with gradio.Column(scale=2, min_width=320):
                shown = gradio.HTML(
                    html_template="<p class='note'></p>"
                    "<segmentation-viewer hidden></segmentation-viewer>",
                    js_on_load=_ON_LOAD,
                    elem_id="shown",
                )
        photo.change(
            answer, photo, shown, show_progress="full", api_visibility="private"
        )
    script = resources.files("keras_seg.demo").joinpath("viewer.js").read_text("utf-8")
    return page, {"head": f"<script>{script}</script>", "css": _CSS}
