"""`--change`: each case is what dockerd 20.10 answered, but for STOPSIGNAL, which later ones take."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan import errors
from sampan.images.changes import apply_changes

ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("CMD", {"Cmd": ["/bin/sh", "-c"]}),
    ("CMD [1", {"Cmd": ["/bin/sh", "-c", "[1"]}),
    ("CMD []", {"Cmd": []}),
    ('CMD ["a"] b', {"Cmd": ["a"]}),
    ("CMD ['a']", {"Cmd": ["/bin/sh", "-c", "['a']"]}),
    ("CMD  a   b # c", {"Cmd": ["/bin/sh", "-c", "a   b # c"]}),
    ("CMD echo \\\n# comment\n hi", {"Cmd": ["/bin/sh", "-c", "echo  hi"]}),
    ("cmd echo $HOME", {"Cmd": ["/bin/sh", "-c", "echo $HOME"]}),
    ("ENTRYPOINT []", {"Entrypoint": [], "Cmd": None}),
    ("ENTRYPOINT", {"Entrypoint": None, "Cmd": None}),
    ("CMD a\nENTRYPOINT b", {"Entrypoint": ["/bin/sh", "-c", "b"], "Cmd": ["/bin/sh", "-c", "a"]}),
    ("USER a b", {"User": "a b"}),
    ("USER ${A:-root}", {"User": "root"}),
    ("ENV A B C", {"Env": ["A=B C"]}),
    ("ENV x a  b ", {"Env": ["x=a  b"]}),
    ("ENV a=b \\\n c=d", {"Env": ["a=b", "c=d"]}),
    ("ENV a=1\nENV b=2", {"Env": ["a=1", "b=2"]}),
    ("ENV a=1\nENV a=2 b=$a c=${a:+x} d=${n:-y}", {"Env": ["a=2", "b=1", "c=x", "d=y"]}),
    ('ENV A="a b\\" c"\'d $x\' E=f\\ g', {"Env": ['A=a b" cd $x', "E=f g"]}),
    ("ENV A=a\\nb", {"Env": ["A=anb"]}),
    ("ENV A='a\\nb' B=\"a\\nb\"", {"Env": ["A=a\\nb", "B=a\\nb"]}),
    ("LABEL a b", {"Labels": {"a": "b"}}),
    ('LABEL "a b"="c d" e=$x', {"Labels": {"a b": "c d", "e": ""}}),
    ("WORKDIR a b", {"WorkingDir": "/a b"}),
    ("WORKDIR /a/../b/", {"WorkingDir": "/a/../b/"}),
    ("WORKDIR /a\nWORKDIR ../b", {"WorkingDir": "/b"}),
    ("WORKDIR \\a", {"WorkingDir": "/a"}),
    ("VOLUME a b", {"Volumes": {"a": {}, "b": {}}}),
    ('VOLUME ["a","b"]', {"Volumes": {"a": {}, "b": {}}}),
    ("EXPOSE 80:81", {"ExposedPorts": {"81/tcp": {}}}),
    ("EXPOSE 80 90/udp 1-2", {"ExposedPorts": {key: {} for key in ("1/tcp", "2/tcp", "80/tcp", "90/udp")}}),
    ("ENV p='80 81'\nEXPOSE $p", {"Env": ["p=80 81"], "ExposedPorts": {"80/tcp": {}, "81/tcp": {}}}),
    ("ONBUILD run x  y", {"OnBuild": ["run x  y"]}),
    ("HEALTHCHECK  CMD  a  b", {"Healthcheck": {"Test": ["CMD-SHELL", "a  b"]}}),
    ("HEALTHCHECK NONE", {"Healthcheck": {"Test": ["NONE"]}}),
    (
        'HEALTHCHECK --timeout=3s --start-period=1m --retries=3 CMD ["a","b"]',
        {
            "Healthcheck": {
                "Test": ["CMD", "a", "b"],
                "Timeout": 3 * 10**9,
                "StartPeriod": 60 * 10**9,
                "Retries": 3,
            }
        },
    ),
    ("STOPSIGNAL SIGRTMIN+3", {"StopSignal": "SIGRTMIN+3"}),
    ("STOPSIGNAL 9", {"StopSignal": "9"}),
]

REFUSED = [
    ("", "file with no instructions"),
    ("# c", "file with no instructions"),
    ("ADD x y", "add is not a valid change command"),
    ("FROM x", "from is not a valid change command"),
    ("FOO x", "foo is not a valid change command"),
    ("WORKDIR", "WORKDIR requires exactly one argument"),
    ("USER", "USER requires exactly one argument"),
    ("LABEL x", "LABEL must have two arguments"),
    ("LABEL", "LABEL requires at least one argument"),
    ("LABEL a=b c", 'Syntax error - can\'t find = in "c". Must be of the form: name=value'),
    (
        'LABEL a="b',
        'failed to process "\\"b": unexpected end of statement while looking for matching double-quote',
    ),
    ("ENV", "ENV requires at least one argument"),
    ("ENV A", "ENV must have two arguments"),
    ("ENV =x", "ENV names can not be blank"),
    ("ENV A=1 B", 'Syntax error - can\'t find = in "B". Must be of the form: name=value'),
    ("ENV A=${B:?x}", 'failed to process "${B:?x}": B: x'),
    ("ENV A=${", "failed to process \"${\": syntax error: missing '}'"),
    ("EXPOSE", "EXPOSE requires at least one argument"),
    ("EXPOSE abc", "Invalid containerPort: abc"),
    ("EXPOSE 5-3", "Invalid containerPort: 5-3"),
    ("EXPOSE 70000", "Invalid containerPort: 70000"),
    ("EXPOSE 80/foo", "Invalid proto: foo"),
    ("VOLUME", "VOLUME requires at least one argument"),
    ("VOLUME []", "VOLUME requires at least one argument"),
    ('VOLUME [""]', "VOLUME specified can not be an empty string"),
    ("VOLUME $x", "VOLUME specified can not be an empty string"),
    ('CMD ["a", 1]', "when using JSON array syntax, arrays must be comprised of strings only"),
    ("CMD --x y", "Unknown flag: x"),
    ("ONBUILD", "ONBUILD requires at least one argument"),
    ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
    ("onbuild ONBUILD x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
    ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
    ("HEALTHCHECK FOO", 'Unknown type "FOO" in HEALTHCHECK (try CMD)'),
    ("HEALTHCHECK --x CMD y", "Unknown flag: x"),
    ("HEALTHCHECK --interval=5 CMD y", 'time: missing unit in duration "5"'),
    ("HEALTHCHECK --interval=0.5ms CMD x", 'Interval "interval" cannot be less than 1ms'),
    ("HEALTHCHECK --retries=-1 CMD y", "--retries must be at least 1 (not -1)"),
    ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
    ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
    ("STOPSIGNAL SIGNONSENSE", "Invalid signal: SIGNONSENSE"),
]


@pytest.mark.parametrize(("change", "expected"), ACCEPTED)
def test_changes_are_made(change: str, expected: dict[str, Any]) -> None:
    assert apply_changes({}, [change]) == expected


@pytest.mark.parametrize(("change", "words"), REFUSED)
def test_wrong_changes_are_refused(change: str, words: str) -> None:
    with pytest.raises(errors.InvalidArgument) as failure:
        apply_changes({}, [change])
    assert failure.value.message == words


def test_changes_build_on_what_is_there() -> None:
    before = {
        "Env": ["PATH=/bin"],
        "Labels": {"a": "1"},
        "WorkingDir": "/w",
        "Cmd": ["sh"],
        "OnBuild": ["RUN x"],
    }
    after = apply_changes(
        before, ["ENV PATH=$PATH:/sbin", "LABEL b=2", "WORKDIR x", 'ENTRYPOINT ["e"]', "ONBUILD RUN y"]
    )
    assert after == {
        "Env": ["PATH=/bin:/sbin"],
        "Labels": {"a": "1", "b": "2"},
        "WorkingDir": "/w/x",
        "Entrypoint": ["e"],
        "Cmd": None,
        "OnBuild": ["RUN x", "RUN y"],
    }
    assert before["Env"] == ["PATH=/bin"]
    assert apply_changes(before, []) == before


@given(
    st.sampled_from(["CMD", "ENV", "LABEL", "EXPOSE", "VOLUME", "USER", "HEALTHCHECK", "ONBUILD"]),
    st.text(max_size=60),
)
def test_any_text_is_a_change_or_refused(name: str, rest: str) -> None:
    try:
        apply_changes({}, [f"{name} {rest}"])
    except errors.InvalidArgument as error:
        assert error.message
