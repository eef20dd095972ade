"""The streams of a container that a command starts: its own ones, or a terminal, handed over or proxied."""

from __future__ import annotations

import os
import select

from sampan import errors
from sampan.linux import signals as signal
from sampan.linux import sockets as socket
from sampan.records import replace
from sampan.runtime.commands.arguments import Arguments
from sampan.runtime.launch import Launched, Stdio
from sampan.runtime.spec import Process


def own_stdio(process: Process) -> Stdio | None:
    """Without a terminal the container gets the streams of this command itself."""
    return None if process.terminal else Stdio(0, 1, 2)


def with_own_size(process: Process) -> Process:
    """Before the program could ask: a terminal that we stand in front of has the size of our own."""
    if not process.terminal or not os.isatty(0):
        return process
    size = os.get_terminal_size(0)
    return replace(process, console_size=(size.lines, size.columns))


def check_console(arguments: Arguments, terminal: bool, detached: bool) -> None:
    """A terminal needs somebody who holds its master: a socket to send it to, or this process."""
    has_socket = bool(arguments.text("console-socket"))
    if detached and terminal and not has_socket:
        raise errors.InvalidArgument("cannot allocate tty if runc will detach without setting console socket")
    if has_socket and not (detached and terminal):
        raise errors.InvalidArgument("cannot use console socket if runc will not detach or allocate tty")


def hand_over_console(arguments: Arguments, launched: Launched) -> None:
    """Send the terminal's master to --console-socket, with a name for it as the message, as runc does."""
    if launched.console is None:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(arguments.text("console-socket"))
            socket.send_fds(connection, [b"/dev/pts/ptmx"], [launched.console])
    except OSError as error:
        raise errors.SampanError(f"console socket: {os.strerror(error.errno or 0).lower()}") from error
    finally:
        os.close(launched.console)


def stay(launched: Launched) -> int:
    """Stand in front of a process until it ends: pass signals on, and its terminal through. Returns its exit
    code.
    """

    def forward(number: int, _frame: object) -> None:
        try:
            signal.pidfd_send_signal(launched.pidfd, number)
        except ProcessLookupError:
            pass

    kept = (signal.SIGCHLD, signal.SIGWINCH, signal.SIGPIPE, signal.SIGURG, signal.SIGKILL, signal.SIGSTOP)
    for number in signal.valid_signals():
        if number not in kept and number < signal.SIGRTMIN:
            signal.signal(number, forward)
    if launched.console is not None:
        _proxy_terminal(launched)
    code = os.waitstatus_to_exitcode(os.waitpid(launched.pid, 0)[1])
    return code if code >= 0 else 128 - code


def _proxy_terminal(launched: Launched) -> None:
    """Copy between our terminal and the container's, until its processes have closed it."""
    import termios
    import tty

    console = launched.console
    assert console is not None
    before = termios.tcgetattr(0) if os.isatty(0) else None

    def resize(_number: int = 0, _frame: object = None) -> None:
        if before is not None:
            termios.tcsetwinsize(console, termios.tcgetwinsize(0))

    signal.signal(signal.SIGWINCH, resize)
    try:
        if before is not None:
            resize()
            tty.setraw(0, termios.TCSADRAIN)  # what was typed already is not thrown away
        _copy(console)
    finally:
        if before is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
        os.close(console)


def _copy(console: int) -> None:
    poll = select.poll()
    poll.register(console, select.POLLIN)
    poll.register(0, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            try:
                data = os.read(fd, 65536)
            except OSError:
                data = b""  # EIO: nobody has the terminal's other end open any more
            if fd == console:
                if not data:
                    return
                _write_all(1, data)
            elif data:
                _write_all(console, data)
            else:
                poll.unregister(0)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
