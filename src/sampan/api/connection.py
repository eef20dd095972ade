"""One client connection: HTTP/1.1, read by h11, over a transport, with flow control in both directions.

Theory of operation. A connection has one task, which takes requests in turn: read a head, call the handler,
send the reply, read what is left of the body, begin again. The transport's callbacks never call handlers;
they only put bytes into h11's buffer and wake the task.

- Reading: bytes are taken from the socket while fewer than READ_AHEAD unread ones wait in h11's buffer, also
while
  a handler runs, because reading is how a client that goes away is noticed. Pipelined requests wait there
  too.
- Writing: the transport's buffer limit is zero, so `_drain` returns when the kernel has everything. A slow
client
  slows its handler down and costs no memory.
- A client that goes away: a handler whose reply is a `Stream` is cancelled, and reading a body raises
ClientGone. A
  command that is under way runs to its end, since a half-done `stop` or `rm` helps nobody.
- A half-closed connection counts as gone for streams that last, as in Go's server; it still gets other
replies.
- Hijacking: reading stops, the bytes that came early are kept, and `dup` takes the socket out of asyncio.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import cast

import h11

from sampan import errors
from sampan.api import head
from sampan.api.message import HIJACKED, Body, Reply, Request, Response, Stream, failure
from sampan.api.status import ClientGone

READ_AHEAD = 1 << 20
DISCARD_LIMIT = 128 << 20
"""How much of an unread body is read and thrown away, so that a client that is still sending sees its
reply.
"""
DISCARD_SECONDS = 10
LINGER_SECONDS = 2

Dispatch = Callable[[Request], Awaitable[Reply]]

_log = logging.getLogger("sampan.api")


class Connection(asyncio.Protocol):
    """A connection of one client. `dispatch` answers a request; `finished` is told when all is over."""

    def __init__(self, dispatch: Dispatch, *, tcp: bool, finished: Callable[[Connection], None]) -> None:
        self._dispatch = dispatch
        self._finished = finished
        self.tcp = tcp
        """Whether the client came over TCP, where a browser can be made to send requests."""
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=head.LIMIT)
        self._unread = 0
        self._arrival: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._body_done = True
        self._keeps_alive = False
        self._continued = False
        """A client that waited to be asked for its body has been asked."""
        self._must_end = False
        self._answered = False
        self._streaming = False
        self._lasting = False
        self._half_closed = False
        self._lost = False
        self._idle = True
        self._ending = False
        self._discarding = False
        self._taken = False
        """The answer left HTTP behind: a hijacker wrote its own head."""

    # --- callbacks of the transport -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self.task = self._loop.create_task(self._run(), name="connection")

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            return
        self._h11.receive_data(data)
        self._unread += len(data)
        if self._arrival is not None:
            _wake(self._arrival)
        elif self._unread > READ_AHEAD:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._half_closed = True
        if self._lasting:
            self.task.cancel()
        elif self._arrival is not None:
            _wake(self._arrival)
        return True  # keep the writing side open for the reply

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        if self._streaming:
            self.task.cancel()
        for future in (self._arrival, self._room):
            if future is not None:
                _wake(future)

    def pause_writing(self) -> None:
        self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._room is not None:
            _wake(self._room)
            self._room = None

    def end(self) -> None:
        """The server ends: drop an idle or streaming connection now, any other after its reply."""
        self._ending = True
        if self._streaming or self._idle:
            self.task.cancel()

    # --- the task -------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while await self._serve_one() and not self._ending:
                rest, _ = self._h11.trailing_data
                # Its own next cycle would want to have sent our answer.
                self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=head.LIMIT)
                if rest:
                    self._h11.receive_data(rest)
        except (ConnectionError, TimeoutError):
            pass  # the client went away, or took too long: there is nobody to tell
        finally:
            self._transport.close()
            self._finished(self)

    async def _serve_one(self) -> bool:
        """Answer the next request. Returns whether another one may follow on this connection."""
        try:
            self._idle = True
            event = await self._read_head()
            self._idle = False
            if event is None:
                return False
            self._keeps_alive = head.keeps_alive(event)
            self._continued = self._answered = False
            request = head.parse(event, self, self._body(event))
        except h11.RemoteProtocolError as error:
            await self._refuse(head.refusal(error))
            return False
        try:
            await self._answer(request)
        finally:
            await request.body.close()
        return await self._skip_body()

    async def _read_head(self) -> h11.Request | None:
        """The next request's head; None when the client closed the connection instead."""
        event = self._h11.next_event()
        if event is h11.NEED_DATA:
            # A connection may be idle for as long as it likes; mostly, all of a head comes in one piece.
            await self._arrive()
            event = self._h11.next_event()
        if event is h11.NEED_DATA:
            async with asyncio.timeout(head.SECONDS):
                while event is h11.NEED_DATA:
                    await self._arrive()
                    event = self._h11.next_event()
        return event if isinstance(event, h11.Request) else None

    async def _refuse(self, answer: bytes) -> None:
        """Answer what is no request."""
        self._transport.write(answer)
        await self._linger()

    async def _linger(self) -> None:
        """Say that no more comes, and drop what the client still sends until it has seen the answer.

        Closing a socket with unread bytes in it resets the connection, and the answer would be lost.
        """
        self._transport.write_eof()
        self._discarding = True
        async with asyncio.timeout(LINGER_SECONDS):
            while not self._half_closed:
                await self._arrive()

    def _body(self, event: h11.Request) -> Body:
        """The body that belongs to a head. An empty one is taken off h11 at once, so that a hijack finds it
        done.
        """
        fields = dict(event.headers)
        length = None if b"transfer-encoding" in fields else int(fields.get(b"content-length", 0))
        self._body_done = length == 0
        if self._body_done:
            self._h11.next_event()  # EndOfMessage
        return Body(self._receive_body, length)

    async def _answer(self, request: Request) -> None:
        reply: Reply
        try:
            reply = await self._dispatch(request)
        except ClientGone:
            raise
        except Exception as error:  # the root of a request: whatever went wrong becomes an answer
            reply = self._failed(request, error)
        if isinstance(reply, Stream):
            await self._send_stream(request, reply)
        elif isinstance(reply, Response):
            await self._send(request, reply)

    def _failed(self, request: Request, error: Exception) -> Reply:
        response = failure(error)
        if response.status >= 500:
            trace = not isinstance(error, errors.SampanError | OSError)
            text = "Handler for %s %s returned error: %s"
            _log.error(text, request.method, request.path, error, exc_info=trace)
        if not self._taken:
            return response
        if not self._lost and not self._transport.is_closing():
            # The stream has begun: moby writes the text of the error into it.
            self._transport.write(f"{error}\r\n".encode())
        return HIJACKED

    async def _send(self, request: Request, response: Response) -> None:
        fields = [*response.headers]
        if response.status not in (204, 304):
            fields.append(("Content-Length", str(len(response.body))))
        if response.body:
            fields.append(("Content-Type", response.content_type))
        body = b"" if request.method == "HEAD" else response.body
        await self._write(self._head(response.status, fields) + body)
        self._answered = True

    async def _send_stream(self, request: Request, stream: Stream) -> None:
        fields = [*stream.headers, ("Content-Type", stream.content_type)]
        # A client of HTTP/1.0 knows the end of the answer by that of the connection.
        chunked = self._h11.their_http_version != b"1.0"
        if chunked:
            fields.append(("Transfer-Encoding", "chunked"))
        try:
            self._streaming, self._lasting = True, stream.lasting
            if self._lost or (self._half_closed and stream.lasting):
                raise ClientGone
            await self._write(self._head(200, fields))
            async for chunk in stream.chunks:
                if chunk:
                    await self._write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
        except (errors.SampanError, OSError) as error:
            # Too late for a status: ending without the last chunk tells the client that the answer is not
            # whole.
            _log.error("Stream of %s %s broke off: %s", request.method, request.path, error)
            self._transport.abort()
            raise ClientGone from error
        finally:
            self._streaming = self._lasting = False
            await stream.chunks.aclose()
        if chunked:
            await self._write(b"0\r\n\r\n")
        self._answered = True

    def _head(self, status: int, fields: list[tuple[str, str]]) -> bytes:
        """The head of an answer. It is the last one if the client wants that, if the client still waits to be
        asked for a body that nobody wants, or if its request was not well-formed.
        """
        self._must_end = not self._keeps_alive or self._is_waiting or self._h11.their_state is h11.ERROR
        return head.answer(status, fields, last=self._must_end)

    @property
    def _is_waiting(self) -> bool:
        """Whether the client waits to be asked for its body (RFC 9110 section 10.1.1)."""
        return self._h11.they_are_waiting_for_100_continue and not self._continued

    async def _skip_body(self) -> bool:
        """Throw away what the handler did not read. Returns whether the connection can be used again."""
        if self._taken or not self._answered:
            return False
        if self._must_end:
            if not self._body_done:
                await self._linger()
            return False
        if not self._body_done and not await self._discard_body():
            return False
        return self._h11.their_state is not h11.ERROR

    async def _discard_body(self) -> bool:
        """Read on to the body's end. Returns whether it was reached."""
        left = DISCARD_LIMIT
        try:
            async with asyncio.timeout(DISCARD_SECONDS):
                while left > 0 and (piece := await self._receive_body()):
                    left -= len(piece)
        except errors.InvalidArgument:
            return False
        if left <= 0:
            await self._linger()
            return False
        return True

    # --- bytes in and out -----------------------------------------------------------------------------------

    async def _receive_body(self) -> bytes:
        """All that has come of the request's body, some at least; b"" at its end.

        A client sends many small chunks, and each piece costs who waits for it in a thread two changes of
        threads.
        """
        pieces: list[bytes] = []
        while not self._body_done:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                raise errors.InvalidArgument(head.body_error(error)) from None
            if event is h11.NEED_DATA:
                if pieces:
                    break
                if self._is_waiting:
                    self._continued = True
                    await self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await self._arrive()
            elif isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
            else:
                self._body_done = True
        return b"".join(pieces)

    async def _arrive(self) -> None:
        """Wait until h11 has something new to look at: bytes, or the end of the client's side."""
        if self._lost:
            raise ClientGone
        if self._half_closed:
            self._h11.receive_data(b"")
            return
        self._unread = 0
        self._transport.resume_reading()
        self._arrival = self._loop.create_future()
        try:
            await self._arrival
        finally:
            self._arrival = None
        if self._lost:
            raise ClientGone

    async def _write(self, data: bytes) -> None:
        """Send. Returns when the kernel has it."""
        if self._lost:
            raise ClientGone
        self._transport.write(data)
        await self._drain()

    async def _drain(self) -> None:
        if self._room is not None:
            await self._room
        if self._lost:
            raise ClientGone

    # --- hijacking: only `sampan.api.hijack` calls these ----------------------------------------------------

    def stop_reading(self) -> None:
        """From here on, what the client sends stays in the kernel."""
        self._transport.pause_reading()

    async def take_over(self, first_bytes: bytes) -> None:
        """Leave HTTP: `first_bytes` (a head of the hijacker's) are the last that this connection sends."""
        if self._lost:
            raise ClientGone
        self._taken = True
        self._transport.write(first_bytes)
        await self._drain()

    def early_bytes(self) -> bytes:
        """What arrived behind the request."""
        return bytes(self._h11.trailing_data[0])

    def detach(self) -> socket.socket:
        """The connection as a socket of its own; asyncio's end is closed. The socket stays non-blocking."""
        if self._lost or self._transport.is_closing():
            raise ClientGone
        own = self._transport.get_extra_info("socket").dup()
        self._transport.abort()
        return cast("socket.socket", own)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
