"""`images`, `image ls`: list images."""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.failure import Failure
from sampan.cli.flags import Command, Options, filters
from sampan.cli.formatting import FORMAT_HELP, print_rows
from sampan.cli.imagerows import ImageRow, image_rows

RAW = (
    "repository: {{.Repository}}\n{{if .Tag}}tag: {{.Tag}}\n{{end}}DIGESTimage_id: {{.ID}}\n"
    "created_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n"
)
DIGEST = "digest: {{.Digest}}\n"


def run(context: Context, options: Options, arguments: list[str]) -> int:
    if options.flag("tree"):
        raise Failure("--tree is not supported yet")
    wanted = filters(options)
    if arguments:
        wanted.setdefault("reference", {})[arguments[0]] = True
    found = context.engine.get("/images/json", {"all": options.flag("all"), "filters": wanted})
    assert isinstance(found, list)
    form = options.text("format")
    digests = options.flag("digests")
    rows = image_rows(found, not options.flag("no-trunc"), digests or "{{.Digest}}" in form)
    columns = ("Repository", "Tag", *(("Digest",) if digests else ()), "ID", "CreatedSince", "Size")
    quiet = "ID" if options.flag("quiet") else ""
    if form == "raw":
        form = "image_id: {{.ID}}" if quiet else RAW.replace("DIGEST", DIGEST if digests else "")
    print_rows(context, ImageRow, rows, form=form, columns=columns, quiet=quiet)
    return 0


COMMAND = Command(
    "[OPTIONS] [REPOSITORY[:TAG]]",
    "List images",
    run,
    aliases=("image ls", "image list", "images"),
    flags=(
        ("all", "a", "bool", "Show all images (default hides intermediate images)"),
        ("digests", "", "bool", "Show digests"),
        ("filter", "f", "filter", "Filter output based on conditions provided"),
        ("format", "", "string", FORMAT_HELP),
        ("no-trunc", "", "bool", "Don't truncate output"),
        ("quiet", "q", "bool", "Only show image IDs"),
        ("tree", "", "bool", None),
    ),
    maximum=1,
)
