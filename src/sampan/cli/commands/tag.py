"""`tag`: give an image another name."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.engine import image
from sampan.cli.failure import Failure
from sampan.cli.flags import Command, Options
from sampan.errors import SampanError
from sampan.wire.reference import Reference, parse, parse_any


def _parse(name: str, target: bool) -> Reference | str:
    try:
        return parse(name) if target else parse_any(name)
    except SampanError as error:
        raise Failure(
            f'Error parsing reference: "{name}" is not a valid repository/tag: {error.message}'
        ) from None


def run(context: Context, options: Options, arguments: list[str]) -> int:
    source, name = arguments
    _parse(source, target=False)
    target = _parse(name, target=True)
    assert isinstance(target, Reference)
    if target.digest:
        raise Failure("refusing to create a tag with a digest reference")
    target = target.with_default_tag()
    context.engine.post(image(source) + "/tag", {"repo": target.name, "tag": target.tag})
    return 0


COMMAND = Command(
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    run,
    aliases=("image tag", "tag"),
    minimum=2,
    maximum=2,
)
