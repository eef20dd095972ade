"""What all `inspect` commands do: fetch documents, print them as JSON or through a template, report what is
missing.
"""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.failure import ConnectFailure, Failure
from sampan.wire.jsontext import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Fetch = Callable[[str], tuple[str, bytes]]  # a reference to the Go type and the document

USAGE_STATUS = 64
FORMAT_HELP = """Format output using a custom template:
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"""


def inspect(context: Context, references: Sequence[str], form: str, fetch: Fetch) -> int:
    """Print what `fetch` finds for each reference. What it does not find is reported behind the output."""
    printer = _printer(form)
    failures = []
    for reference in references:
        try:
            printer.add(*fetch(reference))
        except ConnectFailure:
            raise
        except Failure as failure:
            failures.append(failure.message)
    context.out(printer.text())
    if failures:
        raise Failure("\n".join(failures))
    return 0


def _printer(form: str) -> _Documents | _Template:
    if form in ("", "json"):
        return _Documents(indented=not form)
    return _Template(form)


class _Documents:
    """A JSON array of the documents as the engine wrote them."""

    def __init__(self, indented: bool) -> None:
        self.indented = indented
        self.found: list[str] = []

    def add(self, kind: str, document: bytes) -> None:
        self.found.append(document.decode(errors="replace").strip())

    def text(self) -> str:
        whole = "[" + ",".join(self.found) + "]"
        return (indent(whole) if self.indented else whole) + "\n"


class _Template:
    """A template run over each document: first with Go's types, then without."""

    def __init__(self, form: str) -> None:
        from sampan.cli.templates import TemplateError, compile_template

        try:
            self.template = compile_template(form)
        except TemplateError as error:
            raise Failure(f"template parsing error: {error}", USAGE_STATUS) from None
        self.out: list[str] = []

    def add(self, kind: str, document: bytes) -> None:
        from sampan.cli.templates import TemplateError, run_template
        from sampan.cli.typed.decode import struct, untyped

        value = decode(document)
        if kind:
            try:
                self.out.append(run_template(self.template, struct(kind, value, pointer=True)) + "\n")
                return
            except TemplateError:
                pass  # perhaps it uses the document's own names
        try:
            self.out.append(run_template(self.template, untyped(value), missing_key_fails=True) + "\n")
        except TemplateError as error:
            raise Failure(f"template parsing error: {error}") from None

    def text(self) -> str:
        return "".join(self.out) or "\n"


def indent(document: str, step: str = "    ") -> str:
    """json.Indent: line breaks and blanks, while strings and numbers stay as they were written."""
    out: list[str] = []
    depth = 0
    position = 0
    while position < len(document):
        character = document[position]
        if character == '"':
            end = position + 1
            while document[end] != '"':
                end += 2 if document[end] == "\\" else 1
            out.append(document[position : end + 1])
            position = end + 1
            continue
        position += 1
        if character in "{[":
            following = document[position:].lstrip()[:1]
            out.append(character)
            if following and following in "}]":
                out.append(following)
                position = document.index(following, position) + 1
            else:
                depth += 1
                out.append("\n" + step * depth)
        elif character in "}]":
            depth -= 1
            out.append("\n" + step * depth + character)
        elif character == ",":
            out.append(",\n" + step * depth)
        elif character == ":":
            out.append(": ")
        elif character not in " \t\r\n":
            out.append(character)
    return "".join(out)
