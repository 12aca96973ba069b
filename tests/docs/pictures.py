"""The manual's pictures, made anew of what the tests of pages see: `make pictures`.

They are cut at a height, and written with the colours of a page alone: each stays below 100 KB.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from PIL import Image

__all__ = ["PICTURES"]

_ROOT: Final = Path(__file__).parents[2]
_MANUAL: Final = _ROOT / "docs" / "pictures"
_SEEN: Final = _ROOT / "build" / "screenshots"
_TESTS: Final = (
    "tests/web/test_accessibility.py",
    "tests/web/test_journeys_browser.py::test_a_letter_goes_to_another_institution_and_its_answer_comes_back",
    "tests/staff/test_pages_browser.py",
)
_COLOURS: Final = 64

PICTURES: Final = {
    "inbox": ("page-inbox-light-1100", 760),
    "inbox-english": ("page-inbox-english", 760),
    "inbox-dark-telephone": ("page-inbox-dark-390", 844),
    "look-alike": ("page-write-asked-light-1100", 690),
    "pick-up": ("page-pickup-letter-light-1100", 900),
    "second-factor": ("page-step-enrol-light-1100", 980),
    "write": ("journey-write", 980),
    "letter": ("journey-letter", 900),
    "timeline": ("journey-timeline", 1020),
    "staff-overview": ("staff-overview-light-1100", 920),
    "staff-outbox": ("staff-outbox-light-1100", 470),
    "maintainer-request": ("staff-request-light-1100", 900),
    "maintainer-list": ("staff-national-list-light-1100", 900),
    "auditor-log": ("staff-log-light-1100", 760),
    "auditor-check": ("staff-checks-light-1100", 760),
    "statistics": ("staff-statistics-own-light-1100", 1480),
    "region": ("staff-statistics-region-light-1100", 830),
}
"""Each picture of the manual: which page it shows, as the tests name it, and how many pixels of it from above."""


def main() -> None:
    """Run the tests that see these pages, then cut their pictures."""
    environment = {**os.environ, "COFFRE_SCREENSHOTS": str(_SEEN)}
    subprocess.run([sys.executable, "-m", "pytest", "-q", *_TESTS], cwd=_ROOT, env=environment, check=True)
    for name, (seen, height) in PICTURES.items():
        with Image.open(_SEEN / f"{seen}.png") as page:
            cut = page.convert("RGB").crop((0, 0, page.width, min(page.height, height)))
        cut.quantize(_COLOURS, dither=Image.Dither.NONE).save(_MANUAL / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
