"""`demo`: institutions on this machine."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from node.cli.common import run_command, say

__all__ = ["add_to"]


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Play the story, check everything, stop; status 0 if all holds.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to put it (default: a temporary folder, removed at the end)."),
    ] = None,
) -> None:
    """Four institutions on loopback exchange real letters with documents; then they stay up to be played with."""

    async def body() -> None:
        import logging

        import structlog
        import trio

        from node.demo.scene import PASSWORD, Scene

        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        place = folder or Path(tempfile.mkdtemp(prefix="coffre-demo-"))
        try:
            scene = Scene(place, say)
            async with scene.playing():
                with trio.fail_after(300):
                    await scene.play()
                say("every letter was opened byte for byte, every piece of evidence verified")
                if not once:
                    await _stay(place, PASSWORD, scene.pages(), scene.figures)
        finally:
            if folder is None:
                shutil.rmtree(place, ignore_errors=True)

    run_command(body)


async def _stay(place: Path, password: str, pages: list[tuple[str, str, list[str]]], figures: str) -> None:
    import signal

    import trio

    secret = place / "password"
    secret.write_text(password + "\n", encoding="ascii")
    say("")
    say(f"The four nodes stay up. Their pages, with the password {password}, each with a certificate it made itself:")
    for name, url, mailboxes in pages:
        say(f"  {name:24} {url}  {', '.join(mailboxes)}")
    from node.demo.region import PASSPHRASE
    from node.demo.statistics_scene import STAFF_NAME, STAFF_PASSWORD

    say(f"Administration, audit, the maintainer's desk and a year of statistics are at {pages[0][1]}/staff/:")
    say(f"  log in as {STAFF_NAME} with the first password {STAFF_PASSWORD}; it asks for another, and a second factor")
    say(f"  the passphrase of the maintainer's keys is {PASSPHRASE}")
    say(f"The hospital shows figures and health to those who run it at {figures}/metrics and {figures}/ready")
    say("In another terminal, for example:")
    say(f"  coffre -C {place}/hospital health; coffre -C {place}/hospital alarms; coffre -C {place}/hospital doctor")
    say(f"  coffre -C {place}/hospital statistics region")
    pw = f"--password-file {secret}"
    say(f"  coffre -C {place}/clinic inbox dr.modele {pw}")
    letter = "--from dr.fictive --to dr.exemple@lilas.example --subject Bonjour --text Essai"
    say(f"  coffre -C {place}/hospital send {letter} {pw}")
    say(f"  coffre -C {place}/hospital sent dr.fictive {pw}")
    say(f"  coffre evidence verify {min(place.glob('evidence-*.txt'))}")
    say(f"  coffre audit fetch {place}/auditor; coffre audit verify {place}/auditor {place}/disclosure.txt")
    say(f"and the auditor's report is {place}/audit-report.html")
    say("Stop with Ctrl-C; the folder goes then, unless it was named with --folder.")
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            return


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("demo")(demo)
