"""IMAP servers on loopback that misbehave: what a real one cannot be made to do."""

import contextlib
import socket
import socketserver
import threading


class Listening(socketserver.ThreadingTCPServer):
    """Calls `handle(socket)` for each connection while entered."""

    daemon_threads = True

    def __init__(self, handle):
        self.handle = handle
        super().__init__(("127.0.0.1", 0), None)
        self.port = self.server_address[1]

    def finish_request(self, request, client_address):
        with contextlib.suppress(OSError):
            request.settimeout(5)
            self.handle(request)

    def __enter__(self):
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
        self._thread.join()


def relay(to_port, allowed):
    """A way to a server that breaks after so many bytes of its answers."""

    def handle(client):
        with socket.create_connection(("127.0.0.1", to_port), 5) as upstream:
            left = allowed

            def forward():
                with contextlib.suppress(OSError):
                    while data := client.recv(65536):
                        upstream.sendall(data)
                    upstream.shutdown(socket.SHUT_WR)

            thread = threading.Thread(target=forward, daemon=True)
            thread.start()
            while left > 0 and (data := upstream.recv(65536)):
                client.sendall(data[:left])
                left -= len(data)
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            thread.join(5)

    return Listening(handle)


def scripted(answers, greeting=b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready"):
    """A server that answers each command by the first of `answers` whose name it holds; TAG is its tag."""

    def handle(client):
        file = client.makefile("rb")
        client.sendall(greeting + b"\r\n")
        for line in file:
            tag = line.split()[0]
            known = [text for name, text in answers.items() if name in line.upper()]
            if b"AUTHENTICATE" in line.upper() and not known:
                client.sendall(b"+ \r\n")
                file.readline()
            answer = known[0] if known else b"TAG OK done"
            client.sendall(answer.replace(b"TAG", tag) + b"\r\n")
            if b"LOGOUT" in line.upper():
                return

    return Listening(handle)
