"""Templates as commands use them: Docker's functions, and errors that can be shown. Imported only when
needed.
"""

from __future__ import annotations

from sampan.wire.gotemplate import Template, TemplateError, execute, parse
from sampan.wire.gotemplate.docker import FUNCTIONS, HEADER_FUNCTIONS

__all__ = ["TemplateError", "compile_template", "run_headings", "run_template"]


def compile_template(text: str, name: str = "") -> Template:
    return parse(text, FUNCTIONS, name)


def run_template(template: Template, value: object, missing_key_fails: bool = False) -> str:
    return execute(template, value, FUNCTIONS, missing_key_fails)


def run_headings(template: Template, headings: object) -> str:
    """The heading line of a table. What the template asks for in vain leaves the line as far as it got:
    empty.
    """
    try:
        return execute(template, headings, HEADER_FUNCTIONS)
    except TemplateError:
        return ""
