"""segments.py PORT TLS_PORT CA: in how many segments the kernel took an answer behind which the connection ends.

Prints two numbers: of all segments that came in the clear, and of those with data that came over TLS 1.3. The smallest of
20 tries each, as a machine that stands still may part what belongs together."""

import socket
import ssl
import struct
import sys

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def ask(port, wrap=lambda stream: stream):
    stream = wrap(socket.create_connection(("127.0.0.1", port)))
    stream.sendall(REQUEST)
    answer = b""
    while piece := stream.recv(65536):
        answer += piece
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    # `struct tcp_info` of linux/tcp.h: tcpi_segs_in, tcpi_notsent_bytes, tcpi_min_rtt, tcpi_data_segs_in.
    segments, _, _, with_data = struct.unpack_from("4I", stream.getsockopt(socket.IPPROTO_TCP, 11, 192), 140)
    return segments, with_data


port, tls_port, ca = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
context = ssl.create_default_context(cafile=ca)
context.minimum_version = ssl.TLSVersion.TLSv1_3
secured = lambda stream: context.wrap_socket(stream, server_hostname="localhost")
print(min(ask(port)[0] for _ in range(20)), min(ask(tls_port, secured)[1] for _ in range(20)))
