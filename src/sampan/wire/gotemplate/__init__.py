"""Go's text/template: the language of every `--format` flag and of the log drivers' `tag` option.

Owns the language in full: actions, pipelines, variables, control structures, named templates, trim markers,
the built-in functions and fmt's verbs, with the error texts of Go 1.24, because users meet those texts. What
the data looks like is the caller's matter: plain Python values stand for Go's (see `values`), and anything
richer (a struct, a method set) is one of the classes of that module.

Must not know: Docker, containers, JSON documents (`docker` adds the functions that Docker's own templates
have). May cost: it is on the path of `sampan ps --format`, so it imports neither `re` nor `dataclasses`.

Three steps, one module each: `lexer` (text to items), `parser` (items to the nodes of `nodes`), `execute`
(nodes and data to text). `functions` and `gofmt` are what templates call.
"""

from __future__ import annotations

from sampan.wire.gotemplate.execute import execute
from sampan.wire.gotemplate.parser import Template, TemplateError, parse

__all__ = ["Template", "TemplateError", "execute", "parse"]
