"""Runs a template over a value, as text/template's exec.go does.

Owns evaluation: fields, methods, pipelines, calls with Go's checks of types, control structures, variables.
Its errors name the node that was being evaluated, so `_Run.node` follows evaluation exactly as Go's
`state.at` does.
"""

from __future__ import annotations

from sampan.wire.gotemplate import nodes
from sampan.wire.gotemplate.functions import CallError
from sampan.wire.gotemplate.gofmt import PLAIN, format_value
from sampan.wire.gotemplate.lexer import quote
from sampan.wire.gotemplate.parser import Template, TemplateError
from sampan.wire.gotemplate.values import (
    NO_VALUE,
    Function,
    NilPointer,
    Struct,
    kind,
    truth,
    type_name,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_DEPTH = 100_000  # what Go allows; Python's own limit comes first and is reported the same way
NULLABLE = frozenset(["any", "[]string"])
ARGUMENT_NAMES = {"int": "integer", "any": "interface {}"}


class _Missing:
    """No value comes down the pipeline: the command is its first."""


MISSING = _Missing()


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


def execute(
    template: Template, data: object, functions: Mapping[str, Function], missing_key_fails: bool = False
) -> str:
    """The template's text for `data`. `missing_key_fails` is Go's option missingkey=error. Raises
    TemplateError.
    """
    run = _Run(template, functions, missing_key_fails)
    try:
        run.walk(data, template.root)
    except RecursionError:
        raise run.error(f"exceeded maximum template depth ({MAX_DEPTH})") from None
    except TemplateError as error:
        error.output = "".join(run.out)
        raise
    return "".join(run.out)


class _Run:
    def __init__(
        self, template: Template, functions: Mapping[str, Function], missing_key_fails: bool
    ) -> None:
        self.template = template
        self.functions = functions
        self.missing_key_fails = missing_key_fails
        self.out: list[str] = []
        self.node: nodes.Node | None = None
        self.boxed = (
            False  # the last field came out of a map of interfaces: that is the type that errors name
        )
        self.variables: list[list[object]] = []  # [name, value], innermost last

    def error(self, message: str) -> TemplateError:
        name = self.template.name
        if self.node is None:
            return TemplateError(f"template: {name}: {message}")
        before = self.template.text[: self.node.position]
        line = before.count("\n") + 1
        column = len(before[before.rfind("\n") + 1 :].encode(errors="surrogateescape"))
        place = f"{name}:{line}:{column}"
        return TemplateError(f"template: {place}: executing {quote(name)} at <{self.node}>: {message}")

    # Walking: what each kind of node does to the output.

    def walk(self, dot: object, node: nodes.Node) -> None:
        if not self.variables:
            self.variables.append(["$", dot])
        self.node = node
        match node:
            case nodes.Text():
                self.out.append(node.text)
            case nodes.List():
                for child in node.nodes:
                    self.walk(dot, child)
            case nodes.Action():
                value = self._pipeline(dot, node.pipe)
                if not node.pipe.declared:
                    self._print(node, value)
            case nodes.Branch():
                self._range(dot, node) if node.keyword == "range" else self._if_or_with(dot, node)
            case nodes.Call():
                self._call_template(dot, node)
            case nodes.Mark():
                raise _Break if node.keyword == "break" else _Continue

    def _print(self, node: nodes.Node, value: object) -> None:
        self.node = node
        if isinstance(value, Function):
            raise self.error(f"can't print {node} of type {type_name(value)}")
        self.out.append("<no value>" if value is NO_VALUE else format_value(value, "v", PLAIN))

    def _if_or_with(self, dot: object, node: nodes.Branch) -> None:
        mark = len(self.variables)
        value = self._pipeline(dot, node.pipe)
        if truth(value):
            self.walk(value if node.keyword == "with" else dot, node.body)
        elif node.otherwise is not None:
            self.walk(dot, node.otherwise)
        del self.variables[mark:]

    def _range(self, dot: object, node: nodes.Branch) -> None:
        self.node = node
        mark = len(self.variables)
        value = self._pipeline(dot, node.pipe)
        ran = False
        try:
            for index, element in self._elements(value, node):
                ran = True
                self._iterate(node, index, element)
        except _Break:
            pass
        if not ran and node.otherwise is not None:
            self.walk(dot, node.otherwise)
        del self.variables[mark:]

    def _elements(self, value: object, node: nodes.Branch) -> Iterable[tuple[object, object]]:
        match kind(value):
            case "slice":
                return enumerate(value)  # type: ignore[arg-type]
            case "map":
                return sorted(value.items())  # type: ignore[attr-defined]
            case "int" | "uint":
                if len(node.pipe.declared) > 1:
                    raise self.error(f"can't use {value} to iterate over more than one variable")
                return ((number, number) for number in range(value))  # type: ignore[call-overload]
            case "invalid":
                return ()
        raise self.error(f"range can't iterate over {format_value(value, 'v', PLAIN)}")

    def _iterate(self, node: nodes.Branch, index: object, element: object) -> None:
        declared = node.pipe.declared
        mark = len(self.variables)
        values = [index, element] if len(declared) == 2 else [element]
        for place, (variable, value) in enumerate(zip(declared, values, strict=False)):
            if node.pipe.assigns:
                self._assign(variable.names[0], value)
            else:
                self.variables[mark - len(declared) + place][1] = value
        try:
            self.walk(element, node.body)
        except _Continue:
            pass
        finally:
            del self.variables[mark:]

    def _call_template(self, dot: object, node: nodes.Call) -> None:
        body = self.template.definitions.get(node.name)
        if body is None:
            if node.name != self.template.name:
                raise self.error(f"template {quote(node.name)} not defined")
            body = self.template.root
        argument = NO_VALUE if node.pipe is None else self._pipeline(dot, node.pipe)
        outer, self.variables = self.variables, [["$", argument]]
        self.walk(argument, body)
        self.variables = outer

    # Variables.

    def _assign(self, name: str, value: object) -> None:
        for entry in reversed(self.variables):
            if entry[0] == name:
                entry[1] = value
                return
        raise self.error(f"undefined variable: {name}")

    def _variable(self, name: str) -> object:
        for entry in reversed(self.variables):
            if entry[0] == name:
                return entry[1]
        raise self.error(f"undefined variable: {name}")

    # Evaluation.

    def _pipeline(self, dot: object, pipe: nodes.Pipe) -> object:
        self.node = pipe
        value: object = MISSING
        for command in pipe.commands:
            value = self._command(dot, command, value)
            if value is None:  # an interface that holds nothing
                value = NO_VALUE
        for variable in pipe.declared:
            if pipe.assigns:
                self._assign(variable.names[0], value)
            else:
                self.variables.append([variable.names[0], value])
        return value

    def _command(self, dot: object, command: nodes.Command, final: object) -> object:
        first = command.arguments[0]
        match first:
            case nodes.Field():
                self.node = first
                return self._fields(dot, dot, first, first.names, command.arguments, final)
            case nodes.Chain():
                return self._chain(dot, first, command.arguments, final)
            case nodes.Identifier():
                self.node = first
                return self._function(dot, first, command, command.arguments, final)
            case nodes.Pipe():
                self._no_arguments(command.arguments, final)
                return self._pipeline(dot, first)
            case nodes.Variable():
                return self._variable_node(dot, first, command.arguments, final)
        self.node = first
        self._no_arguments(command.arguments, final)
        return self._constant(dot, first)

    def _constant(self, dot: object, node: nodes.Node) -> object:
        match node:
            case nodes.Dot():
                return dot
            case nodes.Bool():
                return node.value
            case nodes.String():
                return node.text
            case nodes.Number():
                return self._number(node)
            case nodes.Nil():
                raise self.error("nil is not a command")
        raise self.error(f"can't evaluate command {quote(str(node))}")

    def _number(self, node: nodes.Number) -> int | float | complex:
        self.node = node
        if isinstance(node.value, int) and not -(1 << 63) <= node.value < 1 << 63:
            raise self.error(f"{node.text} overflows int")
        return node.value

    def _no_arguments(self, arguments: list[nodes.Node], final: object) -> None:
        if len(arguments) > 1 or final is not MISSING:
            raise self.error(f"can't give argument to non-function {arguments[0]}")

    def _chain(self, dot: object, node: nodes.Chain, arguments: list[nodes.Node], final: object) -> object:
        self.node = node
        if isinstance(node.node, nodes.Nil):
            raise self.error(f"indirection through explicit nil in {node}")
        return self._fields(dot, self._argument(dot, "any", node.node), node, node.names, arguments, final)

    def _variable_node(
        self, dot: object, node: nodes.Variable, arguments: list[nodes.Node], final: object
    ) -> object:
        self.node = node
        value = self._variable(node.names[0])
        if len(node.names) == 1:
            self._no_arguments(arguments, final)
            return value
        return self._fields(dot, value, node, node.names[1:], arguments, final)

    def _fields(
        self,
        dot: object,
        receiver: object,
        node: nodes.Node,
        names: list[str],
        arguments: list[nodes.Node],
        final: object,
    ) -> object:
        self.boxed = False
        for name in names[:-1]:
            receiver = self._field(dot, name, node, [], MISSING, receiver)
        return self._field(dot, names[-1], node, arguments, final, receiver)

    def _field(
        self,
        dot: object,
        name: str,
        node: nodes.Node,
        arguments: list[nodes.Node],
        final: object,
        receiver: object,
    ) -> object:
        """A method, a struct's field or a map's element."""
        boxed, self.boxed = self.boxed, False
        if receiver is NO_VALUE:
            if self.missing_key_fails:
                raise self.error(f"nil data; no entry for key {quote(name)}")
            return NO_VALUE
        if receiver is None:
            raise self.error(f"nil pointer evaluating interface {{}}.{name}")
        method = receiver.go_method(name) if hasattr(receiver, "go_method") else None
        if method is not None:
            return self._call(dot, method, node, name, arguments, final)
        has_arguments = len(arguments) > 1 or final is not MISSING
        if isinstance(receiver, Struct) and name in receiver.fields:
            if has_arguments:
                raise self.error(f"{name} has arguments but cannot be invoked as function")
            return receiver.fields[name]
        if isinstance(receiver, dict):
            if has_arguments:
                raise self.error(f"{name} is not a method but has arguments")
            if name not in receiver and self.missing_key_fails:
                raise self.error(f"map has no entry for key {quote(name)}")
            self.boxed = type(receiver) is dict
            return receiver.get(name, NO_VALUE)
        if isinstance(receiver, NilPointer) and name in receiver.fields:
            raise self.error(f"nil pointer evaluating {receiver.go_type}.{name}")
        found = "interface {}" if boxed else type_name(receiver)
        raise self.error(f"can't evaluate field {name} in type {found}")

    # Calls.

    def _function(
        self,
        dot: object,
        node: nodes.Identifier,
        place: nodes.Node,
        arguments: list[nodes.Node],
        final: object,
    ) -> object:
        function = self.functions.get(node.name)
        if function is None:
            raise self.error(f"{quote(node.name)} is not a defined function")
        if node.name in ("and", "or"):
            return self._short_circuit(dot, node.name, arguments[1:], final)
        return self._call(dot, function, place, node.name, arguments, final)

    def _short_circuit(self, dot: object, name: str, arguments: list[nodes.Node], final: object) -> object:
        """`and` and `or` evaluate no further than they must."""
        if not arguments and final is MISSING:
            raise self.error(f"wrong number of args for {name}: want at least 1 got 0")
        value: object = NO_VALUE
        for argument in arguments:
            value = self._argument(dot, "any", argument)
            if truth(value) == (name == "or"):
                return value
        return value if final is MISSING else final

    def _call(
        self,
        dot: object,
        function: Function,
        place: nodes.Node,
        name: str,
        arguments: list[nodes.Node],
        final: object,
    ) -> object:
        given = arguments[1:]
        count = len(given) + (final is not MISSING)
        fixed = len(function.parameters)
        if function.variadic is not None and count < fixed:
            raise self.error(f"wrong number of args for {name}: want at least {fixed} got {len(given)}")
        if function.variadic is None and count != fixed:
            raise self.error(f"wrong number of args for {name}: want {fixed} got {count}")
        wanted = [*function.parameters, *[function.variadic or ""] * (count - fixed)]
        values = [self._argument(dot, kind, node) for kind, node in zip(wanted, given, strict=False)]
        if final is not MISSING:
            values.append(self._checked(final, wanted[count - 1]))
        if name == "call":
            values.insert(0, str(given[0]) if given else format_value(final, "v", PLAIN))
        try:
            return function.call(*values)
        except CallError as error:
            self.node = place
            raise self.error(f"error calling {name}: {error}") from None

    def _argument(self, dot: object, wanted: str, node: nodes.Node) -> object:
        """An argument's value, checked against the type that the function wants."""
        self.node = node
        match node:
            case nodes.Dot():
                return self._checked(dot, wanted)
            case nodes.Nil():
                if wanted in NULLABLE:
                    return None
                raise self.error(f"cannot assign nil to {wanted}")
            case nodes.Field():
                value = self._fields(dot, dot, node, node.names, [node], MISSING)
                return self._checked(value, wanted)
            case nodes.Variable():
                return self._checked(self._variable_node(dot, node, [], MISSING), wanted)
            case nodes.Pipe():
                return self._checked(self._pipeline(dot, node), wanted)
            case nodes.Identifier():
                return self._checked(self._function(dot, node, node, [], MISSING), wanted)
            case nodes.Chain():
                return self._checked(self._chain(dot, node, [], MISSING), wanted)
        return self._literal(wanted, node)

    def _literal(self, wanted: str, node: nodes.Node) -> object:
        if wanted == "any":
            return self._number(node) if isinstance(node, nodes.Number) else self._constant(None, node)
        if wanted == "string" and isinstance(node, nodes.String):
            return node.text
        if wanted == "bool" and isinstance(node, nodes.Bool):
            return node.value
        if wanted == "int" and isinstance(node, nodes.Number):
            value = node.value
            if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
                return int(value)
        if wanted.startswith("["):
            raise self.error(f"can't handle {node} for arg of type {wanted}")
        raise self.error(f"expected {ARGUMENT_NAMES.get(wanted, wanted)}; found {node}")

    def _checked(self, value: object, wanted: str) -> object:
        """Go's assignability, for the few types that functions want."""
        if value is NO_VALUE:
            if wanted in NULLABLE:
                return None
            raise self.error(f"invalid value; expected {wanted}")
        if wanted == "any" or (wanted == "string" and isinstance(value, str)):
            return value
        if wanted == type_name(value) or (wanted == "int" and type(value) is int):
            return value
        if value is None:
            if wanted in NULLABLE:
                return None
            raise self.error(f"invalid value; expected {wanted}")
        raise self.error(f"wrong type for value; expected {wanted}; got {type_name(value)}")
