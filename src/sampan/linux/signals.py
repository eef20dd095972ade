"""Signals by number: what the module `signal` has, without its enums, which take 4 ms and 0.4 MB."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import SIG_DFL as SIG_DFL
    from signal import SIG_IGN as SIG_IGN
    from signal import SIG_SETMASK as SIG_SETMASK
    from signal import SIGCHLD as SIGCHLD
    from signal import SIGHUP as SIGHUP
    from signal import SIGINT as SIGINT
    from signal import SIGKILL as SIGKILL
    from signal import SIGPIPE as SIGPIPE
    from signal import SIGRTMAX as SIGRTMAX
    from signal import SIGRTMIN as SIGRTMIN
    from signal import SIGSTOP as SIGSTOP
    from signal import SIGTERM as SIGTERM
    from signal import SIGURG as SIGURG
    from signal import SIGWINCH as SIGWINCH
    from signal import getsignal as getsignal
    from signal import pidfd_send_signal as pidfd_send_signal
    from signal import pthread_sigmask as pthread_sigmask
    from signal import signal as signal
    from signal import strsignal as strsignal
    from signal import valid_signals as valid_signals
else:
    from _signal import (
        SIG_DFL,
        SIG_IGN,
        SIG_SETMASK,
        SIGCHLD,
        SIGHUP,
        SIGINT,
        SIGKILL,
        SIGPIPE,
        SIGRTMAX,
        SIGRTMIN,
        SIGSTOP,
        SIGTERM,
        SIGURG,
        SIGWINCH,
        getsignal,
        pidfd_send_signal,
        pthread_sigmask,
        signal,
        strsignal,
        valid_signals,
    )

__all__ = [
    "SIGCHLD",
    "SIGHUP",
    "SIGINT",
    "SIGKILL",
    "SIGPIPE",
    "SIGRTMAX",
    "SIGRTMIN",
    "SIGSTOP",
    "SIGTERM",
    "SIGURG",
    "SIGWINCH",
    "SIG_DFL",
    "SIG_IGN",
    "SIG_SETMASK",
    "getsignal",
    "pidfd_send_signal",
    "pthread_sigmask",
    "signal",
    "strsignal",
    "valid_signals",
]
