"""The conversation with a new process, when one side goes while the other speaks."""

from __future__ import annotations

from sampan.runtime.channel import ChildChannel, Failed, ParentChannel, Stage, Warned, open_channel


def test_why_a_process_fails_is_heard_though_it_listens_no_more() -> None:
    ours, theirs = open_channel()
    parent, child = ParentChannel(ours), ChildChannel(theirs)
    parent.announce(Stage.ATTACHED)
    child.warn("a")
    child.fail("why", 126)
    theirs.close()
    assert parent.receive() == Warned("a")
    assert parent.receive() == Failed("why", 126)
    assert parent.receive() is None
    parent.close()


def test_a_process_that_is_killed_says_nothing() -> None:
    ours, theirs = open_channel()
    parent = ParentChannel(ours)
    parent.announce(Stage.ATTACHED)
    theirs.close()
    assert parent.receive() is None
    parent.close()
