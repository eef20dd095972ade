"""Items to nodes: a recursive-descent parser after the grammar of text/template.

Owns what a well-formed template is, and Go's words for what is not. Functions must be known by name here,
since an unknown one is a parse error. Must not know values or what functions do.
"""

from __future__ import annotations

from sampan.wire.gotemplate import nodes
from sampan.wire.gotemplate.lexer import Item, lex, quote
from sampan.wire.gotemplate.literals import LiteralError, parse_number, unquote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

OPERANDS = frozenset(
    [
        "bool",
        "character constant",
        "complex",
        "dot",
        "field",
        "identifier",
        "number",
        "nil",
        "raw string",
        "string",
    ]
    + ["variable", "left paren"]
)


class TemplateError(Exception):
    """The template is not well-formed, or failed while it ran: then `output` is what it had written.

    The message is Go's.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.output = ""


class Template:
    """A parsed template: its root, the templates that it defines, and its text (for the places in errors)."""

    __slots__ = ("definitions", "name", "root", "text")

    def __init__(self, name: str, text: str, root: nodes.List, definitions: dict[str, nodes.List]) -> None:
        self.name = name
        self.text = text
        self.root = root
        self.definitions = definitions


def parse(text: str, functions: Container[str], name: str = "") -> Template:
    """Parse `text`; `functions` are the names that it may call. Raises TemplateError."""
    parser = _Parser(name, text, functions)
    root = parser.parse()
    return Template(name, text, root, parser.definitions)


class _Parser:
    def __init__(self, name: str, text: str, functions: Container[str]) -> None:
        self.name = name
        self.items = lex(text)
        self.index = 0
        self.functions = functions
        self.variables = ["$"]
        self.range_depth = 0
        self.action_line = 0
        self.definitions: dict[str, nodes.List] = {}

    # Items: `_next` and `_peek` see spaces, the others skip them.

    def _next(self) -> Item:
        item = self.items[min(self.index, len(self.items) - 1)]
        self.index += 1
        return item

    def _peek(self) -> Item:
        return self.items[min(self.index, len(self.items) - 1)]

    def _next_word(self) -> Item:
        while (item := self._next()).kind == "space":
            pass
        return item

    def _peek_word(self) -> Item:
        while (item := self._peek()).kind == "space":
            self.index += 1
        return item

    def _fail(self, message: str) -> TemplateError:
        """The error for `message` at the item that was read last."""
        line = self.items[max(0, min(self.index, len(self.items)) - 1)].line
        return TemplateError(f"template: {self.name}:{line}: {message}")

    def _unexpected(self, item: Item, context: str) -> TemplateError:
        if item.kind != "error":
            return self._fail(f"unexpected {item} in {context}")
        where = ""
        if self.action_line and self.action_line != item.line:
            where = f" in action started at {self.name}:{self.action_line}"
            if item.text.endswith(" action"):
                where = where.removeprefix(" in action")
        return self._fail(f"{item}{where}")

    def _expect(self, kind: str, context: str) -> Item:
        item = self._next_word()
        if item.kind != kind:
            raise self._unexpected(item, context)
        return item

    def _unquote(self, item: Item) -> str:
        try:
            return unquote(item.text)
        except LiteralError as error:
            raise self._fail(str(error)) from None

    # Lists of nodes.

    def parse(self) -> nodes.List:
        root = nodes.List(self._peek().position)
        while self._peek().kind != "eof":
            if self._peek().kind == "left delimiter":
                start = self.index
                self._next()
                if self._next_word().kind == "define":
                    self._definition()
                    continue
                self.index = start
            node = self._text_or_action()
            if isinstance(node, nodes.Mark) and node.keyword in ("end", "else"):
                raise self._fail(f"unexpected {node}")
            root.nodes.append(node)
        return root

    def _definition(self) -> None:
        context = "define clause"
        item = self._next_word()
        if item.kind not in ("string", "raw string"):
            raise self._unexpected(item, context)
        name = self._unquote(item)
        self._expect("right delimiter", context)
        self._define(name, context)

    def _define(self, name: str, context: str) -> None:
        """A body up to its `{{end}}`, kept under `name`. It has variables and loops of its own."""
        outer = self.variables, self.range_depth
        self.variables, self.range_depth = ["$"], 0
        body, end = self._body()
        if end.keyword != "end":
            raise self._fail(f"unexpected {end} in {context}")
        self.variables, self.range_depth = outer
        known = self.definitions.get(name)
        if known is None or known.empty:
            self.definitions[name] = body
        elif not body.empty:
            raise self._fail(f"template: multiple definition of template {quote(name)}")

    def _body(self) -> tuple[nodes.List, nodes.Mark]:
        """Nodes up to an `{{end}}` or `{{else}}`, which is returned beside them."""
        body = nodes.List(self._peek_word().position)
        while self._peek_word().kind != "eof":
            node = self._text_or_action()
            if isinstance(node, nodes.Mark) and node.keyword in ("end", "else"):
                return body, node
            body.nodes.append(node)
        self._next()
        raise self._fail("unexpected EOF")

    def _text_or_action(self) -> nodes.Node:
        item = self._next_word()
        if item.kind == "text":
            return nodes.Text(item.position, item.text)
        if item.kind != "left delimiter":
            raise self._unexpected(item, "input")
        self.action_line = item.line
        node = self._action()
        self.action_line = 0
        return node

    # Actions: one method per keyword.

    def _action(self) -> nodes.Node:
        item = self._next_word()
        match item.kind:
            case "block":
                return self._block()
            case "break" | "continue":
                return self._loop_mark(item)
            case "else":
                return self._else()
            case "end":
                return nodes.Mark(self._expect("right delimiter", "end").position, "end")
            case "if" | "range" | "with":
                return self._branch(item.kind)
            case "template":
                return self._template()
        self.index -= 1
        position = self._peek().position
        return nodes.Action(position, self._pipeline("command", "right delimiter"))

    def _loop_mark(self, item: Item) -> nodes.Mark:
        after = self._next_word()
        if after.kind != "right delimiter":
            raise self._unexpected(after, f"{{{{{item.kind}}}}}")
        if not self.range_depth:
            raise self._fail(f"{{{{{item.kind}}}}} outside {{{{range}}}}")
        return nodes.Mark(item.position, item.kind)

    def _else(self) -> nodes.Mark:
        item = self._peek_word()
        if item.kind not in ("if", "with"):  # {{else if x}} is {{else}}{{if x}} with one {{end}}
            item = self._expect("right delimiter", "else")
        return nodes.Mark(item.position, "else")

    def _branch(self, keyword: str) -> nodes.Branch:
        scope = len(self.variables)
        pipe = self._pipeline(keyword, "right delimiter")
        loop = keyword == "range"
        self.range_depth += loop
        body, after = self._body()
        self.range_depth -= loop
        otherwise = None
        if after.keyword == "else":
            if keyword != "range" and self._peek().kind == keyword:
                self._next()
                otherwise = nodes.List(after.position)
                otherwise.nodes.append(self._branch(keyword))
            else:
                otherwise, after = self._body()
                if after.keyword != "end":
                    raise self._fail(f"expected end; found {after}")
        del self.variables[scope:]
        return nodes.Branch(pipe.position, keyword, pipe, body, otherwise)

    def _template_name(self, context: str) -> tuple[Item, str]:
        item = self._next_word()
        if item.kind not in ("string", "raw string"):
            raise self._unexpected(item, context)
        return item, self._unquote(item)

    def _template(self) -> nodes.Call:
        context = "template clause"
        item, name = self._template_name(context)
        pipe = None
        if self._next_word().kind != "right delimiter":
            self.index -= 1
            pipe = self._pipeline(context, "right delimiter")
        return nodes.Call(item.position, name, pipe)

    def _block(self) -> nodes.Call:
        context = "block clause"
        item, name = self._template_name(context)
        pipe = self._pipeline(context, "right delimiter")
        self._define(name, context)
        return nodes.Call(item.position, name, pipe)

    # Pipelines.

    def _pipeline(self, context: str, end: str) -> nodes.Pipe:
        pipe = nodes.Pipe(self._peek_word().position)
        self._declarations(pipe, context)
        while (item := self._next_word()).kind != end:
            if item.kind not in OPERANDS:
                raise self._unexpected(item, context)
            self.index -= 1
            pipe.commands.append(self._command())
        if not pipe.commands:
            raise self._fail(f"missing value for {context}")
        for stage, command in enumerate(pipe.commands[1:], 2):
            if isinstance(
                command.arguments[0], nodes.Bool | nodes.Dot | nodes.Nil | nodes.Number | nodes.String
            ):
                raise self._fail(f"non executable command in pipeline stage {stage}")
        return pipe

    def _declarations(self, pipe: nodes.Pipe, context: str) -> None:
        """`$x :=`, `$x =`, and in a range `$i, $x :=`, in front of a pipeline."""
        while (variable := self._peek_word()).kind == "variable":
            start = self.index
            self._next()
            after = self._peek_word()
            comma = after.kind == "character" and after.text == ","
            if after.kind not in ("assign", "declare") and not comma:
                self.index = start
                return
            self._next_word()
            pipe.declared.append(nodes.Variable(variable.position, variable.text.split(".")))
            self.variables.append(variable.text)
            if not comma:
                pipe.assigns = after.kind == "assign"
                return
            if context != "range" or len(pipe.declared) > 1:
                raise self._fail(f"too many declarations in {context}")
            if self._peek_word().kind not in ("variable", "right delimiter", "right paren"):
                raise self._fail("range can only initialize variables")

    def _command(self) -> nodes.Command:
        command = nodes.Command(self._peek_word().position)
        while True:
            self._peek_word()
            operand = self._operand()
            if operand is not None:
                command.arguments.append(operand)
            item = self._next()
            if item.kind == "space":
                continue
            if item.kind in ("right delimiter", "right paren"):
                self.index -= 1
            elif item.kind != "pipe":
                raise self._unexpected(item, "operand")
            break
        if not command.arguments:
            raise self._fail("empty command")
        return command

    def _operand(self) -> nodes.Node | None:
        """A term and the fields behind it: `.A.B`, `$x.A`, `(f x).A`."""
        node = self._term()
        if node is None or self._peek().kind != "field":
            return node
        position = self._peek().position
        names = []
        while self._peek().kind == "field":
            names.append(self._next().text[1:])
        if isinstance(node, nodes.Field):
            return nodes.Field(position, node.names + names)
        if isinstance(node, nodes.Variable):
            return nodes.Variable(position, node.names + names)
        if isinstance(node, nodes.Bool | nodes.String | nodes.Number | nodes.Nil | nodes.Dot):
            raise self._fail(f"unexpected . after term {quote(str(node))}")
        return nodes.Chain(position, node, names)

    def _term(self) -> nodes.Node | None:
        item = self._next_word()
        position, text = item.position, item.text
        match item.kind:
            case "identifier":
                if text not in self.functions:
                    raise self._fail(f"function {quote(text)} not defined")
                return nodes.Identifier(position, text)
            case "dot":
                return nodes.Dot(position)
            case "nil":
                return nodes.Nil(position)
            case "variable":
                if text not in self.variables:
                    raise self._fail(f"undefined variable {quote(text)}")
                return nodes.Variable(position, [text])
            case "field":
                return nodes.Field(position, [text[1:]])
            case "bool":
                return nodes.Bool(position, text == "true")
            case "character constant" | "complex" | "number":
                return self._number(item)
            case "left paren":
                return self._pipeline("parenthesized pipeline", "right paren")
            case "string" | "raw string":
                return nodes.String(position, text, self._unquote(item))
        self.index -= 1
        return None

    def _number(self, item: Item) -> nodes.Number:
        try:
            return nodes.Number(item.position, item.text, parse_number(item.text))
        except LiteralError as error:
            raise self._fail(str(error)) from None
