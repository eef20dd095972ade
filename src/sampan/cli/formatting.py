"""Lists as Docker prints them: a table of chosen columns, ids alone, JSON lines, or a template run over each
row.

Owns the meaning of `--format` for lists. A row is a `Row`: named fields with a heading each, computed on
demand. The template engine is imported only for a real template.
"""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.failure import Failure
from sampan.cli.tables import align

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sampan.wire.gotemplate.values import Function

TABLE = "table"
JSON = "json"
FORMAT_HELP = """Format output using a custom template:
'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"""


class Row:
    """One line of a list. Subclasses name their fields, the headings, and Go's name of their type (for
    errors).
    """

    __slots__ = ("truncate", "value")
    go_type = ""
    fields: Mapping[str, Callable[[Row], object]] = {}
    headings: Mapping[str, str] = {}

    def __init__(self, value: Mapping[str, object], truncate: bool = True) -> None:
        self.value = value
        self.truncate = truncate

    def text(self, name: str) -> str:
        """A string of the engine's document."""
        value = self.value.get(name)
        return value if isinstance(value, str) else ""

    def number(self, name: str) -> int:
        value = self.value.get(name)
        return value if isinstance(value, int) else 0

    def mapping(self, name: str) -> Mapping[str, object]:
        value = self.value.get(name)
        return value if isinstance(value, dict) else {}

    def sequence(self, name: str) -> Sequence[object]:
        value = self.value.get(name)
        return value if isinstance(value, list) else ()

    def lookup(self, name: str, argument: str) -> object:
        """A field with an argument, as `.Label "key"`."""
        raise NotImplementedError

    with_argument: frozenset[str] = frozenset()

    def go_method(self, name: str) -> Function | None:
        """The field as a template calls it."""
        from sampan.wire.gotemplate.values import Function, NilPointer

        if name in self.with_argument:
            return Function(lambda argument: self.lookup(name, argument), ("string",))
        field = self.fields.get(name)
        if field is None:
            return None
        value = field(self)
        return Function(lambda: NilPointer(name) if value is None else value)

    def go_marshal_json(self) -> str:
        """The fields that need no argument, in order of their names."""
        from sampan.wire.gojson import encode

        return encode({name: self.fields[name](self) for name in sorted(self.fields)})


class HeadingRow(Row):
    """The row above the others: the headings, as a template reaches them."""

    __slots__ = ("kind",)
    go_type = "formatter.SubHeaderContext"

    def __init__(self, kind: type[Row]) -> None:
        super().__init__({})
        self.kind = kind

    def go_method(self, name: str) -> Function | None:
        from sampan.wire.gotemplate.values import Function

        if name in self.kind.with_argument:
            return Function(lambda argument: _label_heading(argument), ("string",))
        heading = self.kind.headings.get(name)
        return None if heading is None else Function(lambda: heading)

    def go_marshal_json(self) -> str:
        from sampan.wire.gojson import encode

        return encode(dict(sorted(self.kind.headings.items())))


def _label_heading(name: str) -> str:
    """`.Label "com.example.tier"` heads its column with "tier"."""
    return name.rpartition(".")[2].replace("-", " ").replace("_", " ")


def print_rows(
    context: Context,
    kind: type[Row],
    rows: Sequence[Row],
    *,
    form: str,
    columns: Sequence[str],
    quiet: str = "",
) -> None:
    """Print `rows` in the form that `--format` names. `quiet` is the only field to print, for `-q`."""
    if form in ("", TABLE) and quiet:
        context.out("".join([f"{kind.fields[quiet](row)}\n" for row in rows]))
        return
    if form in ("", TABLE):
        lines = ["\t".join([kind.headings[name] for name in columns])]
        for row in rows:
            lines.append("\t".join([str(kind.fields[name](row)) for name in columns]))
        context.out(align("\n".join(lines)) + "\n")
        return
    _print_template(context, kind, rows, "{{json .}}" if form == JSON else form)


def _print_template(context: Context, kind: type[Row], rows: Sequence[Row], form: str) -> None:
    from sampan.cli.templates import TemplateError, compile_template, run_headings, run_template

    table = form.startswith(TABLE)
    text = form.removeprefix(TABLE).strip(" ") if table else form.strip(" ")
    try:
        template = compile_template(text.replace("\\t", "\t").replace("\\n", "\n"))
        lines = [run_template(template, row) for row in rows]
    except TemplateError as error:
        raise Failure(f"template parsing error: {error}") from None
    if not table:
        context.out("".join([f"{line}\n" for line in lines]))
        return
    context.out(align("\n".join([run_headings(template, HeadingRow(kind)), *lines])) + "\n")


def short_id(identifier: str) -> str:
    """The twelve characters that stand for an id."""
    return identifier.partition(":")[2][:12] if ":" in identifier else identifier[:12]


def ellipsis(text: str, width: int) -> str:
    """`text` cut to `width` columns, the last of them an ellipsis."""
    if text.isascii():
        return text if len(text) <= width else text[: width - 1] + "…"
    from unicodedata import east_asian_width

    used = [0]
    for character in text:
        used.append(used[-1] + (2 if east_asian_width(character) in "WF" else 1))
    if used[-1] <= width:
        return text
    shown = sum(1 for columns in used[1:] if columns <= width - 1)
    return text[:shown] + "…"
