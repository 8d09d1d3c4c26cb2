"""The pictures of the README, taken of the demo host with its traffic: `script/screenshots`."""

from __future__ import annotations

import io
import logging
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flask_migrate import upgrade
from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from werkzeug.serving import make_server

from tests.dashboard.browsers import MISSING, chromium
from tests.factories import ROOT

SIGNALS = 600
MOST_BYTES = 200_000


@dataclass(frozen=True, slots=True)
class Picture:
    """One file: what of which page it shows, and in which light."""

    name: str
    path: str
    width: int
    height: int
    scheme: Literal["light", "dark"] = "light"
    scale: int = 1


PICTURES = (
    Picture("overview-light", "/state/", 1280, 1700),
    Picture("overview-dark", "/state/", 1280, 1700, "dark"),
    Picture("overview-phone", "/state/", 390, 1700, scale=2),
)


def main() -> None:
    """Take every picture into `docs/`; the first argument names another folder."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs"
    if chromium() is None:
        raise SystemExit(MISSING)
    folder.mkdir(parents=True, exist_ok=True)
    with demo() as base, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for picture in PICTURES:
            size = take(browser, base, picture, folder / f"{picture.name}.png")
            sys.stdout.write(f"{picture.name}.png {size // 1000} KB\n")
        browser.close()


@contextmanager
def demo() -> Iterator[str]:
    """The address of the demo host, in a folder of its own."""
    from wsgi import create_app

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(
            {
                "STATEFUL_DATABASE_URL": f"sqlite:///{folder}/demo.sqlite",
                "STATEFUL_SPOOL_DIR": f"{folder}/spool",
                "STATEFUL_DASHBOARD": True,
                "STATEFUL_AUTH": "none",
            }
        )
        with app.app_context():
            upgrade()
        told = app.test_cli_runner().invoke(args=["demo-traffic", "--signals", str(SIGNALS)])
        if told.exit_code:
            raise SystemExit(told.output)
        server = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        app.extensions["stateful_engine"].close()


def take(browser: Browser, base: str, picture: Picture, file: Path) -> int:
    """One picture as a small PNG; its bytes."""
    tab = browser.new_page(
        viewport={"width": picture.width, "height": picture.height},
        color_scheme=picture.scheme,
        device_scale_factor=picture.scale,
    )
    tab.goto(base + picture.path, wait_until="networkidle")
    image = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
    _in_few_colours(image).save(file, optimize=True)
    tab.close()
    size = file.stat().st_size
    if size > MOST_BYTES:
        raise SystemExit(f"{file.name} has {size} bytes; a picture of the README may have {MOST_BYTES}")
    return size


def _in_few_colours(image: Image.Image) -> Image.Image:
    """The picture in the 256 colours that it has most of, so that surfaces and lines keep theirs exactly."""
    most = sorted(image.getcolors(2**24) or [], reverse=True)[:256]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in most for part in colour])
    return image.quantize(palette=palette, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main()
