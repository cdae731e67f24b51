"""Makes the pictures of reports in `docs/images`, from runs of the examples, in a real Chromium.

python -m tests.screenshots

Needs the extra `seen-test` and a Chromium on the path.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
# What is added to the configuration of each example.
RECORDER = """
from bandsaw.recording import Recorder

configuration.add_extension(Recorder("calls.sqlite"))
"""
WIDTH = 900
COLOURS = 64


def recorded(folder: Path, example: str, *runs: list[str]) -> Path:
    """Runs an example so often with these arguments, and returns the report of the last run."""
    project = folder / example
    shutil.copytree(ROOT / "examples" / example, project, ignore=shutil.ignore_patterns(".cache"))
    with open(project / "bandsaw_config.py", "a") as configuration:
        configuration.write(RECORDER)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BANDSAW_HOME": str(folder / "home")}
    for arguments in runs:
        subprocess.run(
            [sys.executable, "workflow.py", *arguments], cwd=project, env=environment, check=True
        )
    command = [sys.executable, "-m", "bandsaw", "runs", "report", "-o", "report.html"]
    subprocess.run(command, cwd=project, env=environment, check=True)
    return project / "report.html"


def kept(data: bytes, name: str) -> None:
    """Writes a picture with few colours: plain areas and lines need no more."""
    with Image.open(io.BytesIO(data)) as image:
        image.convert("RGB").quantize(COLOURS).save(IMAGES / f"{name}.png", optimize=True)


def main() -> None:
    """Makes all pictures."""
    IMAGES.mkdir(exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        folder = Path(name)
        # In the second run the cache has what the first one has computed.
        census = recorded(folder, "quickstart", ["asyncio", "email", "json"], [])
        walks = recorded(folder, "engines", [])
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 900})
        for report, which in ((census, "quickstart"), (walks, "engines")):
            page.goto(report.as_uri())
            page.wait_for_selector(".slick-row")
            end = page.locator("#failures").bounding_box()["y"]
            clip = {"x": 0, "y": 0, "width": WIDTH, "height": end}
            kept(page.screenshot(clip=clip, full_page=True), f"report-{which}")
        browser.close()


if __name__ == "__main__":
    main()
