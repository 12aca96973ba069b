"""What readers of lists say of files and rows: sentences whose pattern pages look for (error_words.py)."""

from __future__ import annotations

from typing import Final

from node.reports.rendering import N_

__all__ = ["LIST_SENTENCES"]

LIST_SENTENCES: Final = (
    N_("line {number}"),
    N_("entry {number}"),
    N_("{cells} cells under {columns} columns"),
    N_("{cells} cells under {columns} columns; the file may be cut here"),
    N_("{cells} of {columns} columns; the file may be cut here"),
    N_("{cells} of {columns} columns or more; the file may be cut here"),
    N_("no row of a table: {why}"),
    N_("it has no name"),
    N_("a text of more than {count} bytes"),
    N_("a text with characters that cannot be shown"),
    N_("the same institution as in {place}"),
    N_("no resource in it"),
    N_("no kind {typed}: one of {names}"),
    N_("{typed} is no address"),
    N_("{address} is not of this institution's domain, {domain}"),
    N_("the identifier {number} stands in {place} already"),
    N_("{address} stands in {place} already"),
    N_("{address}, made of the name, stands in {place} already"),
    N_("no name for a new mailbox"),
    N_("no address, and no name to make one of"),
    N_("{address} is closed, and stays so"),
    N_("the name is empty"),
    N_("the table has no header line"),
    N_("its first line names the columns"),
    N_("no column is known to hold {what}; there are: {names}"),
    N_("the column {name} is not in the header; there are: {names}"),
    N_("{typed} maps nothing"),
    N_("one field=Column on each line"),
    N_("no field {name}"),
    N_("one of {names}, or id:SYSTEM"),
    N_("{place} is not {encoding}: byte {byte}"),
    N_("older programs write latin-1 or cp1252: give that as its encoding"),
    N_("the institution's name"),
    N_("the name or the address"),
    N_("say below which column it is, as in name=Nom"),
    N_("{typed} makes no addresses"),
    N_("the national extract holds everybody"),
    N_("name this institution's FINESS or SIRET number"),
    N_("a quote opened in {place} is not closed"),
    N_("the file may be cut; nothing after it is read"),
    N_("no entry in it"),
    N_("a FHIR Bundle has its resources in entry"),
    N_("the file may be cut"),
    N_("{name} has no institution that can be used"),
    N_("{name} has no institution that can be used; {place}: {why}"),
    N_("look at its format and its column map"),
    N_("{name} is damaged"),
    N_("import the list again"),
    N_("the list has no such institution any more"),
    N_("look at the newest list"),
)
