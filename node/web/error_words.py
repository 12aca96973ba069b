"""What the node refuses, in the language of a page.

Errors carry one English line, which the command line prints as it is. Pages look for its pattern here; an error that no
pattern knows is shown in English, marked as such, rather than hidden.
"""

from __future__ import annotations

import re
from typing import Final

from markupsafe import Markup, escape

from node.doctor_findings import FAILED, Check
from node.errors import CoffreError
from node.reports.rendering import N_, Language
from node.web.list_words import LIST_SENTENCES

__all__ = ["error_words", "finding_words", "words_of"]

_KNOWN: Final = (
    N_("{typed} is not an e-mail address"),
    N_("{typed} is not a webhook's address"),
    N_("a digest goes at most {count} times a day"),
    N_("a time of the day is from 00:00 to 23:59"),
    N_("{typed} is no time of the day, as 08:00 is one"),
    N_("quiet hours have a beginning and an end"),
    N_("quiet hours end at another time than they begin"),
    N_("choose the class `urgent` alone instead"),
    N_("{typed} is no date, as 2027-08-01 is one"),
    N_("{typed} is too far away"),
    N_("this absence is over already"),
    N_("choose a later end"),
    N_("an absence ends after it begins, and lasts up to 400 days"),
    N_("{typed} is no address, as name@hospital.example is one"),
    N_("one cannot stand in for oneself"),
    N_("a text is one line of at most 200 bytes"),
    N_("{typed} is no mailbox of this institution"),
    N_("{typed} is no address (name@domain, plain letters)"),
    N_("a group's name has 1 to {count} characters on one line"),
    N_("a group has at least one member"),
    N_("a group has at most {count} members"),
    N_("a mailbox has at most {count} groups"),
    N_("delete one first"),
    N_("there is a group {name} already"),
    N_("choose another name"),
    N_("no mailbox {address} on this node"),
    N_("see: coffre mailbox list"),
    N_("{address} is closed"),
    N_("choose another recipient"),
    N_("{person} is neither a member nor the deputy of {address}"),
    N_("{person} got new keys after this log-in"),
    N_("log in again"),
    N_("add it again"),
    N_("a deputy adds no members"),
    N_("its owner can"),
    N_("only {address} itself names a deputy"),
    N_("a deputy's mandate is not passed on"),
    N_("only {address} itself decides that"),
    N_("a deputy reads and writes letters"),
    N_("a delegation ends after it begins, and not in the past"),
    N_("a delegation lasts up to 400 days"),
    N_("give it anew then"),
    N_("{address} cannot be its own deputy"),
    N_("{person} is of another institution: its opening could neither be ended nor put on record here"),
    N_("make a mailbox for the person on this node, or write to them"),
    N_("the mandate of {address} is over"),
    N_("this letter was offered already: its form was sent twice"),
    N_("this node sends no e-mail, so nobody outside gets a link"),
    N_("see [alerts.smtp] in coffre.toml"),
    N_("a letter to outside goes to one person"),
    N_("write one for each"),
    N_("a letter to outside is offered for 1 to {count} days"),
    N_("a letter to outside can be opened 1 to {count} times"),
    N_("that is no telephone number"),
    N_("with its country: +33 6 00 00 00 00"),
    N_("{address} is a mailbox"),
    N_("write to it as to any colleague: it is safer, and signed"),
    N_("link and code open nothing any more ({state})"),
    N_("nothing to withdraw: every recipient opened, refused or lost it already"),
    N_("nobody whom this letter was refused for moved"),
    N_("{name} is too large to be shown"),
    N_("{name} cannot be shown: {why}"),
    N_("download it"),
    N_("a letter has at most {count} recipients"),
    N_("this node's keys have ended: nobody would take the letter"),
    N_("{address}: its institution is no longer accepted"),
    N_("{address} is not an open mailbox of this node"),
    N_("{address} is full"),
    N_("delete letters, or ask for a larger quota"),
    N_("the form was empty"),
    N_("nothing was asked of a passkey"),
    N_("try again"),
    # -- the staff's pages
    N_("there is no such mailbox"),
    N_("there is nothing under this address"),
    N_("there is no such staff account"),
    N_("{name} is there already"),
    N_("{name} is the only administrator"),
    N_("make another one first: coffre staff add"),
    N_("a staff account has at least one role"),
    N_("or remove the account"),
    N_("a staff account's name is one line without @, of at most 100 bytes"),
    N_("for example: camille.roche"),
    N_("{address} is not of this node's domain, {domain}"),
    N_("{typed} is no whole number"),
    N_("a quota is above 0, and below 8 PB"),
    N_("for example 20 GB"),
    N_("{typed} is no size, as 20 GB is one"),
    N_("a number with its unit: kB, MB, GB or TB"),
    N_("no list was chosen"),
    N_("the list is in another encoding"),
    N_("the file has more than {count} bytes"),
    N_("use the command line for larger ones"),
    N_("nothing was changed: tick the box that the first passwords are kept"),
    N_("the fingerprint is another one: this {what} was not made by whom you telephoned"),
    N_("do not accept it; ask for the {what} again"),
    N_("nothing was accepted: tick the box that you asked about what is odd"),
    N_("what was given is not a mailbox recovery file"),
    N_("the code is damaged: its check does not hold"),
    N_("the code is cut, or too long"),
    N_("the code has characters that no code has, or too few"),
    N_("the code is written in another form"),
    N_("compare it with the file, character by character"),
    N_("what was given is half {number} of a recovery file"),
    N_("give both halves"),
    N_("give one recovery file, or its two halves"),
    N_("these two halves are not of one recovery file"),
    N_("this is half {number} twice"),
    N_("compare the pair that each file names"),
    N_("this is not the recovery key of this mailbox"),
    N_("use the mailbox recovery file made at init"),
    N_("tick the box that you checked who asks"),
    N_("no file was chosen"),
    N_("a hold needs a mailbox, a period, or the box for all letters"),
    N_("{typed} is not a day"),
    N_("a period begins before it ends"),
    N_("a reason has 1 to {count} bytes"),
    N_("name the file or the order"),
    N_("a reason is one line of 1 to {count} bytes"),
    N_("choose which history is followed from now on"),
    N_("a number of days up to {count}, 0 for ever, or nothing; not {typed}"),
    N_("a subject is one line of 1 to {count} characters"),
    N_("a text has at most {count} characters, and no others than printable ones"),
    N_("the text lacks {names}"),
    N_("the text has {name}, which stands for nothing there"),
    N_("the subject has {name}, which stands for nothing there"),
    N_("there are: {names}"),
    N_("no single row of the outbox has the id {id}"),
    N_("its sender is withdrawing it already"),
    N_("it ends when its destination answers"),
    N_("{address} is closed already"),
    N_("{address} is no open mailbox of this node"),
    N_("make it first"),
    N_("{institution} is not accepted"),
    N_("accept its invitation first"),
    N_("give --role"),
    N_("the passphrase does not open {file} (or it is damaged)"),
    N_("check the passphrase file, or restore from a backup"),
    N_("see: coffre staff list"),
    N_("1 to {letters} letters, 1 MB and more, 1 to {days} days"),
    N_("{count} of {threshold} maintainers vouch for it"),
    N_("a maintainer says that its keys are compromised"),
    N_("suspended by a maintainer"),
    N_("its maintainers name different domains"),
    N_("it claims {domain}, which is this node's own domain"),
    N_("{domain} is held by {node}"),
    N_("it was accepted here with {before}, not with {domain}"),
    N_("{domain} is claimed by {node} as well"),
)
_ADDRESS: Final = re.compile(r"https?://\S+$")
_PLACE: Final = re.compile(r"\\{(\w+)\\}")


def _pattern(message: str) -> re.Pattern[str]:
    return re.compile(_PLACE.sub(r"(?P<\1>.+)", re.escape(message)), re.DOTALL)


# Those that begin with a name match almost anything: they are tried last.
_PATTERNS: Final = sorted(
    ((message, _pattern(message)) for message in (*_KNOWN, *LIST_SENTENCES)), key=lambda item: item[0].startswith("{")
)


def error_words(error: CoffreError, language: Language) -> Markup:
    """The error's sentence and, in brackets, its hint, as a page of this language shows them."""
    said = words_of(error.message, language)
    return Markup("{} ({})").format(said, words_of(error.hint, language)) if error.hint else said


def finding_words(check: Check, language: Language) -> Markup:
    """What a look at the node found, in this language."""
    if check.code == FAILED:
        return words_of(str(check.values["reason"]), language)
    return escape(check.words(language))


def words_of(text: str, language: Language) -> Markup:
    """A sentence that the node said, in this language if it is known."""
    said = _said(text, language)
    if said is not None:
        return escape(said)
    return escape(text) if _ADDRESS.match(text) else Markup('<span lang="en">{}</span>').format(text)


def _said(text: str, language: Language) -> str | None:
    for message, pattern in _PATTERNS:
        if found := pattern.fullmatch(text):
            values = found.groupdict()
            # A place in a list is a sentence of its own ("line 7"), and so is what a column has to hold.
            for name in ("place", "what"):
                if name in values:
                    values[name] = _said(values[name], language) or values[name]
            return language.text(message, **values)
    # What was read of a file may begin with its name.
    name, colon, rest = text.partition(": ")
    told = _said(rest, language) if colon else None
    return None if told is None else f"{name}: {told}"
