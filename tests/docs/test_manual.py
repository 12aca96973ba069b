"""The manual and the README say what is there: commands with their options, settings, pages, links, words of pages."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from babel.messages.pofile import read_po
from pydantic import BaseModel
from starlette.routing import Route

from node.cli.main import command_tree
from node.config.settings import Settings
from node.opening import open_node
from node.reports.rendering import LOCALE_FOLDER
from node.web.site import site_routes
from tests.docs.pictures import PICTURES
from tests.web.published import made_node

_ROOT: Final = Path(__file__).parents[2]
_MANUAL: Final = tuple(sorted((_ROOT / "docs").glob("*.md")))
_FILES: Final = (*_MANUAL, _ROOT / "README.md")
_LARGEST_PICTURE: Final = 100_000
_FENCE: Final = re.compile(r"^[ 0-9.]*```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INDENTED: Final = re.compile(r"(?:^    .*\n)+", re.MULTILINE)
_INLINE: Final = re.compile(r"`([^`\n]+)`")
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_BOLD: Final = re.compile(r"\*\*(.+?)\*\*", re.DOTALL)
_PLACEHOLDER: Final = re.compile(r"%\(\w+\)[sd]|\{\w*\}|</?\w+>")
_SETTING: Final = re.compile(r"^\[([a-z_.]+)\](?: ([a-z_]+))?")
_LANGUAGES: Final = {"professional.en.md": "en", "professional.fr.md": "fr"}

every_file = pytest.mark.parametrize(
    "path", _FILES, ids=lambda path: f"{path.parent.name}/{path.name}" if path.parent.name == "docs" else path.name
)


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language (may be empty) and content of each block of code, fenced or indented."""
    for fence in _FENCE.finditer(text):
        yield fence[1], fence[2]
    for block in _INDENTED.finditer(_FENCE.sub("", text)):
        yield "", "".join(line[4:] for line in block[0].splitlines(keepends=True))


def command_lines(text: str) -> Iterator[list[str]]:
    """What follows `coffre` on each line of a block that calls it, cut at a pipe or a redirection."""
    for language, block in blocks(text):
        if language not in ("", "sh"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            if not re.search(r"(^|\s|/)coffre\s", line):
                continue
            words = shlex.split(line, comments=True)
            for at, word in enumerate(words):
                if word.endswith("/bin/coffre") or (word == "coffre" and at == 0):
                    yield _cut(words[at + 1 :])
                    break


def _cut(words: list[str]) -> list[str]:
    ends = [at for at, word in enumerate(words) if word in ("|", ">", "&&", ";")]
    return words[: ends[0]] if ends else words


def problem_of(words: list[str], *, whole: bool) -> str:
    """Why these words after `coffre` are no call of it; empty if they are. whole: arguments must be there, too."""
    command: Any = command_tree()
    context: Any = command.context_class(command, info_name="coffre")
    left = [word for word in words if word != "--help"]
    whole = whole and left == words
    while hasattr(command, "commands"):
        try:
            _, left, _ = command.make_parser(context).parse_args(list(left))
        except Exception as error:
            return str(error) or repr(error)
        if not left:
            return "" if command.invoke_without_command or not whole else "a command is missing"
        if left[0] not in command.commands:
            return f"{left[0]} is no command"
        command = command.commands[left[0]]
        context = command.context_class(command, info_name=left[0], parent=context)
        left = left[1:]
    try:
        values, surplus, _ = command.make_parser(context).parse_args(list(left))
    except Exception as error:
        return str(error) or repr(error)
    if surplus:
        return f"{surplus[0]} is one argument too many"
    lacks = [item.name for item in command.params if item.required and not values.get(item.name)]
    return f"{', '.join(lacks)} missing" if whole and lacks else ""


def alternatives(words: list[str]) -> Iterator[list[str]]:
    """`keys list|renew` is `keys list` and `keys renew`."""
    for at, word in enumerate(words):
        if "|" in word:
            for choice in word.split("|"):
                yield from alternatives([*words[:at], choice, *words[at + 1 :]])
            return
    yield words


@every_file
def test_command_lines_exist(path: Path) -> None:
    lines = list(command_lines(path.read_text("utf-8")))
    wrong = [f"coffre {shlex.join(words)}: {why}" for words in lines if (why := problem_of(words, whole=True))]
    assert not wrong, "\n".join(wrong)


@every_file
def test_commands_within_sentences_exist(path: Path) -> None:
    wrong = []
    for code in _INLINE.findall(_FENCE.sub("", path.read_text("utf-8"))):
        if code.startswith("coffre "):
            for words in alternatives(shlex.split(code)[1:]):
                if why := problem_of([word for word in words if word != "…"], whole=False):
                    wrong.append(f"{code}: {why}")
    assert not wrong, "\n".join(wrong)


def test_what_is_no_command_is_found() -> None:
    assert "no command" in problem_of(["mailbox", "paint"], whole=True)
    assert problem_of(["mailbox", "list", "--colour"], whole=True)
    assert "missing" in problem_of(["mailbox", "add"], whole=True)
    assert "too many" in problem_of(["mailbox", "list", "other"], whole=True)
    assert not problem_of(["-C", "node", "mailbox", "list", "--json"], whole=True)
    assert list(command_lines("    sudo -u coffre /opt/coffre/.venv/bin/coffre doctor | less  # look\n")) == [
        ["doctor"]
    ]


@every_file
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text("utf-8")
    for target in _LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = path.parent / name if name else path
        assert found.exists(), f"{path.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{path.name}: {target}"


def test_pictures_are_small_and_used() -> None:
    used = {Path(target).name for path in _FILES for target in _LINK.findall(path.read_text("utf-8"))}
    for picture in (_ROOT / "docs" / "pictures").iterdir():
        assert picture.stat().st_size < _LARGEST_PICTURE, picture.name
        assert picture.name in used, f"{picture.name} is shown nowhere"
        assert picture.stem in PICTURES, f"make pictures does not make {picture.name}"


def _fields(section: str) -> dict[str, Any]:
    model: type[BaseModel] = Settings
    for name in section.split("."):
        inner = model.model_fields[name].annotation
        assert isinstance(inner, type)
        assert issubclass(inner, BaseModel)
        model = inner
    return dict(model.model_fields)


@every_file
def test_settings_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    for code in _INLINE.findall(_FENCE.sub("", text)):
        if named := _SETTING.match(code):
            fields = _fields(named[1])
            assert not named[2] or named[2] in fields, f"{path.name}: {code}"
    for language, block in blocks(text):
        if language == "toml" or (not language and re.match(r"\[[a-z_.]+\]\n", block)):
            _same_keys(tomllib.loads(block if language else block.split("\n\n")[0]), "")


def _same_keys(table: dict[str, Any], section: str) -> None:
    for key, value in table.items():
        fields = _fields(section) if section else Settings.model_fields
        assert key in fields, f"[{section}] {key}"
        if isinstance(value, dict):
            _same_keys(value, f"{section}.{key}".lstrip("."))


def plain(text: str) -> str:
    """With one kind of space and apostrophe, in one line, without a mark at the end."""
    return " ".join(text.replace("’", "'").replace("\u202f", " ").replace("\xa0", " ").split()).rstrip(" .")


def shown_texts(language: str) -> Iterator[str]:
    """Every text of the pages in that language."""
    with (LOCALE_FOLDER / "fr" / "LC_MESSAGES" / "coffre.po").open("rb") as stream:
        for message in read_po(stream, locale="fr"):
            said = message.string if language == "fr" else message.id
            for text in [said] if isinstance(said, str) else said or ():
                if text:
                    yield text


def not_shown(page: str, language: str) -> set[str]:
    """Words in bold that no page has: whole, or up to a value that it puts in, or the beginning of a long text."""
    whole: set[str] = set()
    for text in shown_texts(language):
        whole.add(plain(text))
        whole.update(plain(piece) for piece in _PLACEHOLDER.split(text) if plain(piece))
    unknown = {plain(bold) for bold in _BOLD.findall(page)} - whole
    return {words for words in unknown if len(words) < 25 or not any(text.startswith(words) for text in whole)}


@pytest.mark.parametrize("name", _LANGUAGES)
def test_words_in_bold_are_those_of_the_pages(name: str) -> None:
    page = (_ROOT / "docs" / name).read_text("utf-8")
    language = _LANGUAGES[name]
    assert not not_shown(page, language)
    assert not_shown("**Envoyer le fax**, **Send the fax**", language) == {"Envoyer le fax", "Send the fax"}


async def test_pages_of_the_staff_exist(tmp_path: Path) -> None:
    async with open_node(await made_node(tmp_path / "node")) as node:
        routes = [route for route in site_routes(node) if isinstance(route, Route)]

    def exists(page: str) -> bool:
        return any(route.path_regex.match(page) for route in routes)

    assert not exists("/staff/admin/fax")
    for path in _FILES:
        for code in _INLINE.findall(path.read_text("utf-8")):
            if code.startswith("/staff"):
                assert exists(code), f"{path.name}: {code}"
