# SPDX-License-Identifier: Apache-2.0
"""A bare server in the form of a telemetrics-backend, over TLS: the counterpart of a delivery, not something measured.

backend.py CERTIFICATE KEY: says where it listens, then takes one record a request, answers 201 and keeps nothing. One
connection at a time; it does as little as can be done, for it shares the processors with what is measured.
"""

import socket
import ssl
import sys

ANSWER = b'HTTP/1.1 201 CREATED\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"id": "1"}'
PIECE_BYTES = 65536
BODY_BYTES_MAX = 1 << 20


def serve(stream: ssl.SSLSocket) -> None:
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            piece = stream.recv(PIECE_BYTES)
            if not piece:
                return
            data += piece
        head, _, data = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if length > BODY_BYTES_MAX:
            return
        while len(data) < length:
            piece = stream.recv(PIECE_BYTES)
            if not piece:
                return
            data += piece
        data = data[length:]
        stream.sendall(ANSWER)


def main(certificate: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"listening on https://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        while True:
            plain, _ = listener.accept()
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                with context.wrap_socket(plain, server_side=True) as stream:
                    serve(stream)
            except OSError:
                plain.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
