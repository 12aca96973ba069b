"""What an evidence file tells people, in one language: for the terminal and for the printed report alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.reports.evidence_names import Names, plain
from node.reports.evidence_texts import (
    DOUBTS,
    GIVEN_UP_BY_SENDER,
    MEANINGS,
    NAMES,
    OPENED_BY_ANOTHER,
    OUTSIDE_TOLD,
    REASONS,
    REFUSED_BY_SENDER,
    SENTENCES,
    SOMEBODY_OUTSIDE,
    STATES,
)
from node.reports.rendering import N_, Language
from protocol.checkpoint import parse_origin
from protocol.content_report import ContentDoubt, DisclosedLetter
from protocol.evidence import VerifiedEvidence
from protocol.evidence_file import EvidenceFile
from protocol.evidence_findings import Defect, Doubt, EventFinding, NodeFinding, Report, TimestampFinding
from protocol.logleaf import EventKind
from protocol.statement import StatementChain, node_digits

__all__ = ["ContentStory", "EventStory", "Meaning", "SignerStory", "StampStory", "Story", "tell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStory:
    """One event. status: ok, open (holds, with a question) or bad (not to be believed). problem: why it is bad."""

    status: str
    time_ms: int
    kind: str
    etsi: str
    sentence: str
    institution: str
    fingerprint: str
    place: str
    problem: str = ""
    detail: str = ""
    existed_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerStory:
    """One institution. keys: in a sentence, how often its keys were renewed or recovered."""

    status: str
    name: str
    node: str
    fingerprint: str
    keys: str
    problem: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StampStory:
    """One timestamp, in a sentence."""

    status: str
    sentence: str
    policy: str = ""
    problem: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one kind of event proves, and what it does not."""

    kind: str
    etsi: str
    proves: str
    not_proved: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentStory:
    """The letter's content, disclosed: proved to be what the events are about."""

    sender: str
    recipients: tuple[str, ...]
    time_ms: int
    subject: str
    text: str
    text_sha256: str
    attachments: tuple[tuple[str, str, int, str], ...]
    """Name, media type, size in bytes, SHA-256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All of it. status: ok, open or bad; verdict: the same in a sentence. recipients: (who, what is shown)."""

    letter: str
    status: str
    verdict: str
    recipients: tuple[tuple[str, str], ...]
    events: tuple[EventStory, ...]
    signers: tuple[SignerStory, ...]
    stamps: tuple[StampStory, ...]
    entry_problems: tuple[tuple[str, str], ...]
    meanings: tuple[Meaning, ...]
    doubts: tuple[str, ...]
    content: ContentStory | None

    @property
    def first_ms(self) -> int:
        """The time of the first event that holds; 0 if none does."""
        return min((event.time_ms for event in self.events if event.time_ms), default=0)

    @property
    def last_ms(self) -> int:
        """The time of the last one."""
        return max((event.time_ms for event in self.events), default=0)


# What counts most last: where a recipient stands is the furthest that is shown.
_ORDER = (
    EventKind.SUBMITTED,
    EventKind.DELAYED,
    EventKind.EXPIRED,
    EventKind.REFUSED,
    EventKind.DEPOSITED,
    EventKind.ERASED_UNREAD,
    EventKind.UNREADABLE,
    EventKind.WITHDRAWN,
    EventKind.COLLECTED,
    EventKind.OPENED,
    EventKind.PICKUP_OFFERED,
    EventKind.PICKED_UP,
)
_VERDICTS = {
    "ok": N_("Everything in this file holds."),
    "open": N_("Everything in this file holds; some questions are open and are listed below."),
    "bad": N_("Something in this file must not be believed; it is marked below. The rest stands by itself."),
}


def _status(defect: Defect | None, doubts: tuple[Doubt, ...] = ()) -> str:
    return "bad" if defect is not None else "open" if doubts else "ok"


def _problem(defect: Defect | None, language: Language) -> tuple[str, str]:
    """What is wrong in plain words, and in technical ones."""
    if defect is None:
        return "", ""
    known = REASONS.get(defect.reason)
    said = language.text(known) if known else language.text(N_("A check failed."))
    return said, plain(f"{defect.reason.value}: {defect.detail}")


def _raised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentence(verified: VerifiedEvidence, names: Names, language: Language) -> str:
    details, kind = verified.details, verified.kind
    text = SENTENCES[kind]
    if kind is EventKind.OPENED and details.actor is not None:
        text = OPENED_BY_ANOTHER.get(details.role or "", OPENED_BY_ANOTHER["deputy"])
    both = (details.node, details.peer)
    recipient = names.mailbox(both, details.mailbox)
    if kind is EventKind.ALERTED and (details.code or "").endswith(", pickup"):
        text = OUTSIDE_TOLD
    if kind is EventKind.REFUSED and names.is_sender(details.node):
        text = GIVEN_UP_BY_SENDER if details.code == "given_up" else REFUSED_BY_SENDER
    said = language.text(
        text,
        institution=names.institution(details.node),
        peer=names.institution(details.peer),
        recipient=recipient,
        actor=names.mailbox(both, details.actor),
        code=plain(details.code or "?"),
    )
    return _raised(said)


def tell(file: EvidenceFile, report: Report, language: Language, *, content: DisclosedLetter | None = None) -> Story:
    """The story of a letter. report: what verifying the file came to. content: what was disclosed of it, verified."""
    names = Names(report, language)
    events = tuple(_event(finding, names, language) for finding in report.events)
    doubts: list[Doubt | ContentDoubt] = [doubt for doubt in Doubt if doubt in report.doubts]
    if content is not None:
        doubts += content.doubts
    status = "bad" if not report.ok else "open" if doubts else "ok"
    kinds = sorted({item.verified.kind for item in report.events if item.verified is not None})
    return Story(
        letter=report.letter.text,
        status=status,
        verdict=language.text(_VERDICTS[status]),
        recipients=_recipients(report, names, language),
        events=tuple(sorted(events, key=lambda event: (not event.time_ms, event.time_ms))),
        signers=tuple(
            _signer(item.statements, finding, names, language)
            for item, finding in zip(file.nodes, report.nodes, strict=True)
        ),
        stamps=tuple(_stamp(finding, names, language) for finding in report.timestamps),
        entry_problems=tuple(_problem(item.defect, language) for item in report.entries if item.defect is not None),
        meanings=tuple(
            Meaning(language.text(NAMES[kind]), kind.etsi_event, *(language.text(text) for text in MEANINGS[kind]))
            for kind in kinds
        ),
        doubts=tuple(language.text(DOUBTS[doubt]) for doubt in doubts),
        content=None if content is None else _content(content),
    )


def _event(finding: EventFinding, names: Names, language: Language) -> EventStory:
    problem, detail = _problem(finding.defect, language)
    verified = finding.verified
    if verified is None:
        return EventStory(
            status="bad",
            time_ms=0,
            kind="",
            etsi="",
            sentence=language.text(N_("An event that must not be believed.")),
            institution="",
            fingerprint="",
            place="",
            problem=problem,
            detail=detail,
        )
    return EventStory(
        status=_status(None, finding.doubts),
        time_ms=verified.time_ms,
        kind=language.text(NAMES[verified.kind]),
        etsi=verified.kind.etsi_event,
        sentence=_sentence(verified, names, language),
        institution=_raised(names.institution(verified.details.node)),
        fingerprint=node_digits(verified.details.node),
        place=f"{verified.checkpoint.origin}/{verified.index}",
        existed_at_ms=finding.existed_at_ms,
    )


def _recipients(report: Report, names: Names, language: Language) -> tuple[tuple[str, str], ...]:
    """Each recipient that an event names, and the furthest that is shown of it."""
    furthest: dict[str, VerifiedEvidence] = {}
    for finding in report.events:
        verified = finding.verified
        if verified is None or verified.details.mailbox is None or verified.kind not in _ORDER:
            continue
        if verified.kind in (EventKind.PICKUP_OFFERED, EventKind.PICKED_UP):
            who = language.text(SOMEBODY_OUTSIDE)
        else:
            who = names.mailbox((verified.details.node, verified.details.peer), verified.details.mailbox)
        before = furthest.get(who)
        if before is None or _ORDER.index(before.kind) < _ORDER.index(verified.kind):
            furthest[who] = verified
    return tuple(
        (who, f"{language.text(STATES[item.kind])} ({language.moment(item.time_ms)})") for who, item in furthest.items()
    )


def _signer(statements: Sequence[bytes], finding: NodeFinding, names: Names, language: Language) -> SignerStory:
    problem, detail = _problem(finding.defect, language)
    keys = ""
    if finding.defect is None:
        chain = StatementChain.from_raw_list(statements)
        recovered = sum(item.by_recovery for item in chain.statements)
        renewed = len(chain.statements) - 1 - recovered
        said = [language.plural("keys stated once", "keys stated {count} times", len(chain.statements))]
        if renewed:
            said.append(language.plural("renewed once", "renewed {count} times", renewed))
        if recovered:
            said.append(language.plural("recovered once after a loss", "recovered {count} times", recovered))
        keys = ", ".join(said)
    return SignerStory(
        status=_status(finding.defect, finding.doubts),
        name=_raised(names.institution(finding.node)),
        node=finding.node.text,
        fingerprint=node_digits(finding.node),
        keys=keys,
        problem=problem,
        detail=detail,
    )


def _stamp(finding: TimestampFinding, names: Names, language: Language) -> StampStory:
    problem, detail = _problem(finding.defect, language)
    if finding.stamp is None or finding.head is None:
        sentence = language.text(N_("A timestamp that must not be believed."))
        return StampStory(status="bad", sentence=sentence, problem=problem, detail=detail)
    _, node, _ = parse_origin(finding.head.origin)
    text = N_("The first {size} entries of the log of {institution} existed before {time}, according to {authority}.")
    sentence = language.text(
        text,
        size=language.number(finding.head.size),
        institution=names.institution(node),
        time=language.moment(finding.stamp.time_ms),
        authority=plain(finding.stamp.authority) or language.text(N_("an authority without a name")),
    )
    return StampStory(status=_status(None, finding.doubts), sentence=sentence, policy=finding.stamp.policy)


def _content(content: DisclosedLetter) -> ContentStory:
    letter = content.signed.letter
    sender = f"{content.sender_name} <{letter.sender.address}>" if content.sender_name else letter.sender.address
    return ContentStory(
        sender=plain(sender),
        recipients=tuple(plain(item.address) for item in (*letter.to, *letter.cc)),
        time_ms=letter.time_ms,
        subject=plain(letter.subject),
        text="\n".join(plain(line) for line in letter.text.replace("\t", "    ").split("\n")),
        text_sha256=content.text_sha256.hex(),
        attachments=tuple(
            (plain(item.name), item.media_type, item.size, item.sha256.hex()) for item in letter.attachments
        ),
    )
