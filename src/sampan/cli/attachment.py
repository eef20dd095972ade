"""An attached container or exec: what `run`, `start -a`, `attach` and `exec` have in common.

Owns the setting of a session: raw terminal, window size, detach keys, forwarded signals, and the warnings
about them.
"""

from __future__ import annotations

from sampan.cli.context import Context
from sampan.cli.failure import Failure
from sampan.cli.http import Connection, Response
from sampan.cli.relay import Detached, Relay
from sampan.cli.signals import SignalPipe, forwarded, signal_name, window_change
from sampan.cli.terminal import DEFAULT_KEYS, DetachKeys, RawMode, is_terminal, parse_detach_keys, resize

MULTIPLEXED = "application/vnd.docker.multiplexed-stream"


def require_terminal(attach_stdin: bool, terminal: bool) -> None:
    """Docker's refusal of -it without a terminal to speak to."""
    if attach_stdin and terminal and not is_terminal(0):
        raise Failure("the input device is not a TTY")


def detach_keys(context: Context, text: str) -> DetachKeys:
    keys = DEFAULT_KEYS
    if text:
        try:
            keys = parse_detach_keys(text)
        except ValueError as error:
            context.error(f"invalid detach escape keys, using default: {error}")
    return DetachKeys(keys)


class Attachment:
    """A hijacked connection with the user's terminal around it. `path` is the API's path of the container or
    exec.
    """

    def __init__(
        self,
        context: Context,
        path: str,
        hijacked: tuple[Connection, Response],
        *,
        terminal: bool,
        stdin: bool,
        stdout: bool = True,
        stderr: bool = True,
        keys: str = "",
        kill_path: str = "",
    ) -> None:
        self.context = context
        self.path = path
        self.connection, response = hijacked
        self.terminal = terminal
        self.stdin = stdin
        self.outputs = (stdout, stderr)
        kind = response.headers.get("content-type", "")
        # An engine before API 1.42 calls every stream raw.
        self.multiplexed = not terminal if kind != MULTIPLEXED else True
        self.keys = detach_keys(context, keys) if terminal and stdin and is_terminal(0) else None
        self.kill_path = kill_path

    def session(self) -> bool:
        """Carry the streams until they end. Says False when the user detached."""
        watched = [*(forwarded() if self.kill_path else ()), *([window_change()] if self.terminal else ())]
        sock, early = self.connection.hijack()
        with SignalPipe(watched) as signals, RawMode(self.terminal and self.stdin):
            if self.terminal:
                resize(self.context.engine, self.path)
            relay = Relay(
                sock,
                early,
                stdin=self.stdin,
                multiplexed=self.multiplexed,
                stdout=self.outputs[0],
                stderr=self.outputs[1],
                keys=self.keys,
                signals=signals,
                on_signal=self._signal,
            )
            try:
                relay.run()
            except Detached:
                return False
            finally:
                sock.close()
        return True

    def close(self) -> None:
        """Give up before the session."""
        self.connection.socket.close()

    def _signal(self, number: int) -> None:
        if number == window_change():
            resize(self.context.engine, self.path)
            return
        try:
            self.context.engine.post(self.kill_path, {"signal": signal_name(number)})
        except Failure:
            pass  # it ended before the signal came
