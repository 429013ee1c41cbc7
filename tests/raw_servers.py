"""A server in a thread of the test, which sends what the test says byte for byte: broken HTTP or JSON, or nothing."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator

Respond = Callable[[int, dict], "bytes | None"]
"""From the number of a request, from 0, and its body to the bytes to send; None leaves the connection open, silent."""

SOCKET_SECONDS = 20


def http(content: bytes | str, status: str = "200 OK", length: int | None = None, **headers: str) -> bytes:
    """Return a response; `length` is a Content-Length that is not the content's."""
    data = content.encode() if isinstance(content, str) else content
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in {"Connection": "close", **headers}.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def answer(text: str = "<think>a</think><answer>7</answer>", **fields: object) -> bytes:
    """Return a good completion, with further fields of the response."""
    return http(json.dumps({"choices": [{"text": text, "finish_reason": "stop"}], **fields}))


@contextlib.contextmanager
def raw_server(respond: Respond, get_response: bytes = http("", "404 Not Found")) -> Iterator[str]:
    """Yield the address of a server that answers each POST with what `respond` returns, and any GET alike."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    numbers = iter(range(10**9))
    lock = threading.Lock()
    silent: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        connection.settimeout(SOCKET_SECONDS)
        try:
            with connection.makefile("rb") as stream:
                request = stream.readline()
                length = 0
                while (line := stream.readline()) not in (b"\r\n", b""):
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                body = stream.read(length)
            if not request.startswith(b"POST"):
                response: bytes | None = get_response
            else:
                with lock:
                    number = next(numbers)
                response = respond(number, json.loads(body))
            if response is None:
                silent.append(connection)
                return
            connection.sendall(response)
            connection.shutdown(socket.SHUT_WR)
            connection.close()
        except OSError:
            connection.close()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        listener.close()
        for connection in silent:
            connection.close()
