"""The nodes of a parsed template. `str(node)` is Go's way to print it, which execution errors quote.

Owns the shapes alone. Must not know how they come about or what they do. Plain slotted classes: `dataclasses`
would cost more to import than a whole `sampan ps` takes.
"""

from __future__ import annotations

from sampan.wire.gotemplate.lexer import quote


class Node:
    """Something in a template, and the index of the text where it starts."""

    __slots__ = ("position",)

    def __init__(self, position: int) -> None:
        self.position = position


class Text(Node):
    __slots__ = ("text",)

    def __init__(self, position: int, text: str) -> None:
        super().__init__(position)
        self.text = text

    def __str__(self) -> str:
        return self.text


class List(Node):
    __slots__ = ("nodes",)

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.nodes: list[Node] = []

    def __str__(self) -> str:
        return "".join(map(str, self.nodes))

    @property
    def empty(self) -> bool:
        """Holds nothing but white space: such a definition never replaces another."""
        return all(isinstance(node, Text) and not node.text.strip() for node in self.nodes)


class Dot(Node):
    __slots__ = ()

    def __str__(self) -> str:
        return "."


class Nil(Node):
    __slots__ = ()

    def __str__(self) -> str:
        return "nil"


class Bool(Node):
    __slots__ = ("value",)

    def __init__(self, position: int, value: bool) -> None:
        super().__init__(position)
        self.value = value

    def __str__(self) -> str:
        return "true" if self.value else "false"


class String(Node):
    __slots__ = ("quoted", "text")

    def __init__(self, position: int, quoted: str, text: str) -> None:
        super().__init__(position)
        self.quoted = quoted
        self.text = text

    def __str__(self) -> str:
        return self.quoted


class Number(Node):
    """A constant without a type yet: `value` is what it is if nothing asks for another type."""

    __slots__ = ("text", "value")

    def __init__(self, position: int, text: str, value: int | float | complex) -> None:
        super().__init__(position)
        self.text = text
        self.value = value

    def __str__(self) -> str:
        return self.text


class Identifier(Node):
    """The name of a function."""

    __slots__ = ("name",)

    def __init__(self, position: int, name: str) -> None:
        super().__init__(position)
        self.name = name

    def __str__(self) -> str:
        return self.name


class Field(Node):
    """`.A.B`: names looked up from dot."""

    __slots__ = ("names",)

    def __init__(self, position: int, names: list[str]) -> None:
        super().__init__(position)
        self.names = names

    def __str__(self) -> str:
        return "".join("." + name for name in self.names)


class Variable(Node):
    """`$x.A.B`: `names[0]` is the variable with its dollar sign."""

    __slots__ = ("names",)

    def __init__(self, position: int, names: list[str]) -> None:
        super().__init__(position)
        self.names = names

    def __str__(self) -> str:
        return ".".join(self.names)


class Chain(Node):
    """`(pipeline).A.B`: names looked up from the value of another node."""

    __slots__ = ("names", "node")

    def __init__(self, position: int, node: Node, names: list[str]) -> None:
        super().__init__(position)
        self.node = node
        self.names = names

    def __str__(self) -> str:
        inner = f"({self.node})" if isinstance(self.node, Pipe) else str(self.node)
        return inner + "".join("." + name for name in self.names)


class Command(Node):
    """One stage of a pipeline: a value, or a function with its arguments."""

    __slots__ = ("arguments",)

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.arguments: list[Node] = []

    def __str__(self) -> str:
        return " ".join(f"({node})" if isinstance(node, Pipe) else str(node) for node in self.arguments)


class Pipe(Node):
    """Commands, each of which gets the value of the one before; `declared` variables take the last value."""

    __slots__ = ("assigns", "commands", "declared")

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.assigns = False
        self.declared: list[Variable] = []
        self.commands: list[Command] = []

    def __str__(self) -> str:
        names = ", ".join(map(str, self.declared))
        sign = (" = " if self.assigns else " := ") if self.declared else ""
        return names + sign + " | ".join(map(str, self.commands))


class Action(Node):
    __slots__ = ("pipe",)

    def __init__(self, position: int, pipe: Pipe) -> None:
        super().__init__(position)
        self.pipe = pipe

    def __str__(self) -> str:
        return f"{{{{{self.pipe}}}}}"


class Branch(Node):
    """`if`, `with` and `range`: a condition, what to do, and what else."""

    __slots__ = ("body", "keyword", "otherwise", "pipe")

    def __init__(self, position: int, keyword: str, pipe: Pipe, body: List, otherwise: List | None) -> None:
        super().__init__(position)
        self.keyword = keyword
        self.pipe = pipe
        self.body = body
        self.otherwise = otherwise

    def __str__(self) -> str:
        otherwise = "" if self.otherwise is None else f"{{{{else}}}}{self.otherwise}"
        return f"{{{{{self.keyword} {self.pipe}}}}}{self.body}{otherwise}{{{{end}}}}"


class Mark(Node):
    """A keyword that stands alone: `end`, `else`, `break` or `continue`."""

    __slots__ = ("keyword",)

    def __init__(self, position: int, keyword: str) -> None:
        super().__init__(position)
        self.keyword = keyword

    def __str__(self) -> str:
        return f"{{{{{self.keyword}}}}}"


class Call(Node):
    """`{{template "name" pipeline}}`."""

    __slots__ = ("name", "pipe")

    def __init__(self, position: int, name: str, pipe: Pipe | None) -> None:
        super().__init__(position)
        self.name = name
        self.pipe = pipe

    def __str__(self) -> str:
        argument = "" if self.pipe is None else f" {self.pipe}"
        return f"{{{{template {quote(self.name)}{argument}}}}}"
