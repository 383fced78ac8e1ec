"""The fastest server that can be written in a few lines: it looks at no request, and its answer lies ready."""

import selectors
import socket
import sys

BODY = b"x" * 1000
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


def accept(listener: socket.socket, selector: selectors.BaseSelector) -> None:
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    selector.register(connection, selectors.EVENT_READ, respond)


def respond(connection: socket.socket, selector: selectors.BaseSelector) -> None:
    if connection.recv(65536):
        connection.sendall(ANSWER)
    else:
        selector.unregister(connection)
        connection.close()


def serve(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as listener, selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ, accept)
        while True:
            for key, _ in selector.select():
                key.data(key.fileobj, selector)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
