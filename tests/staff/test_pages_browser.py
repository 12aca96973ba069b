"""Every page of the staff in a real browser, as axe-core sees it: wide and narrow, light and dark. A new page that is
not visited fails. On the way an administrator, a maintainer and an auditor do their work.
"""

from __future__ import annotations

from pathlib import Path

from node.vault.states import LetterFolder
from node.web.site import site_routes
from tests.staff.furnished import Furnished, furnished
from tests.staff.walks import Walk
from tests.web.browser import browser_page, in_browser
from tests.web.looking import Looker
from tests.web.published import running_node


def journey(url: str, looker: Looker, found: Furnished) -> None:
    """Somebody who has all roles does everything."""
    with browser_page(f"{url}/staff/") as page:
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        walk = Walk(page, looker, found, url)
        walk.enrol()
        walk.administrator()
        walk.maintainer()
        walk.auditor()
        walk.statistics()
        walk.rest()


async def test_every_page_of_the_staff(tmp_path: Path) -> None:
    found = await furnished(tmp_path)
    async with running_node(found.folder) as (node, client):
        looker = Looker(site_routes(node), prefix="staff")
        await in_browser(journey, str(client.base_url), looker, found)
        inbox = await node.reading.page(found.reader, LetterFolder.INBOX, limit=5)
    assert "\n".join(looker.issues) == ""
    assert looker.unseen("/staff") == set()
    assert len(inbox) == 1
