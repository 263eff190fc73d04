"""gRPC by `grpcio`, on both ends; messages are plain bytes, so that nothing has to be generated.

grpc_echo.py serve               a server with a health service; prints its port
grpc_echo.py talk ADDRESS [CA]   every case through ADDRESS; ends with 1 when one of them fails
"""

import os
import sys
import threading
import time
from concurrent import futures

import grpc

BINARY = bytes(range(256))
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def serve():
    cancelled = [0]

    def unary(message, call):
        said = dict(call.invocation_metadata())
        call.send_initial_metadata([("x-said", said.get("x-say", "")), ("back-bin", said.get("there-bin", b""))])
        call.set_trailing_metadata([("x-last", "yes"), ("more-bin", BINARY)])
        return message

    def refuse(_, call):
        call.abort(grpc.StatusCode.FAILED_PRECONDITION, "näin ei: 100 %\nno")

    def sleep(_, call):
        over = threading.Event()

        def ended():
            cancelled[0] += 1
            over.set()

        call.add_callback(ended)
        over.wait(30)
        return b"late"

    def count(message, _):
        return b"%d" % cancelled[0]

    def time_left(_, call):
        return b"%f" % call.time_remaining()

    def down(message, _):
        times, size = (int(number) for number in message.split())
        for _ in range(times):
            yield b"x" * size

    def half(_, call):
        yield b"one"
        yield b"two"
        call.abort(grpc.StatusCode.DATA_LOSS, "half way")

    def up(messages, _):
        return b"%d" % sum(len(message) for message in messages)

    def both(messages, _):
        yield from messages

    def check(_, call):
        # HealthCheckResponse{status: SERVING}
        return b"\x08\x01"

    one_one, one_many = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    methods = {
        "Unary": one_one(unary),
        "Refuse": one_one(refuse),
        "Sleep": one_one(sleep),
        "Cancelled": one_one(count),
        "TimeLeft": one_one(time_left),
        "Down": one_many(down),
        "Half": one_many(half),
        "Up": grpc.stream_unary_rpc_method_handler(up),
        "Both": grpc.stream_stream_rpc_method_handler(both),
    }
    server = grpc.server(futures.ThreadPoolExecutor(32), options=UNLIMITED)
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler("test.Echo", methods),
            grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": one_one(check)}),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


def talk(address, ca):
    if ca:
        with open(ca, "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        channel = grpc.secure_channel(address, credentials, UNLIMITED)
    else:
        channel = grpc.insecure_channel(address, UNLIMITED)

    def path(method, service="test.Echo"):
        return f"/{service}/{method}"

    def ask(method, message=b"", service="test.Echo", timeout=20):
        return channel.unary_unary(path(method, service))(message, timeout=timeout)

    def fails(code, call):
        try:
            answer = call()
        except grpc.RpcError as error:
            assert error.code() == code, (error.code(), error.details())
            return error
        raise AssertionError(f"it succeeded with {answer!r}")

    def unary_of_all_sizes():
        for size in (0, 1, 16_384, 65_536, 1 << 20, 8 << 20):
            message = os.urandom(size)
            assert ask("Unary", message) == message, size

    def metadata_both_ways():
        call = channel.unary_unary(path("Unary"))
        _, call = call.with_call(b"", metadata=[("x-say", "a, b;c"), ("there-bin", BINARY)], timeout=20)
        first, last = dict(call.initial_metadata()), dict(call.trailing_metadata())
        assert (first["x-said"], first["back-bin"]) == ("a, b;c", BINARY), first
        assert (last["x-last"], last["more-bin"]) == ("yes", BINARY), last

    def the_status_of_the_server():
        error = fails(grpc.StatusCode.FAILED_PRECONDITION, lambda: ask("Refuse"))
        assert error.details() == "näin ei: 100 %\nno", error.details()

    def a_method_that_is_not_there():
        fails(grpc.StatusCode.UNIMPLEMENTED, lambda: ask("Nothing"))

    def streams_down():
        answers = channel.unary_stream(path("Down"))
        assert sum(1 for _ in answers(b"500 1000", timeout=20)) == 500
        assert sum(len(answer) for answer in answers(b"32 262144", timeout=20)) == 32 * 262_144

    def streams_up():
        call = channel.stream_unary(path("Up"))
        assert call((b"x" * 1000 for _ in range(500)), timeout=20) == b"500000"
        assert call((b"x" * 262_144 for _ in range(32)), timeout=20) == b"8388608"

    def streams_in_turns():
        turn = threading.Semaphore(0)

        def questions():
            for number in range(50):
                turn.acquire()
                yield b"%d" % number

        answers = channel.stream_stream(path("Both"))(questions(), timeout=20)
        for number in range(50):
            turn.release()
            assert next(answers) == b"%d" % number
        assert list(answers) == []

    def an_error_half_way():
        got = []
        error = fails(grpc.StatusCode.DATA_LOSS, lambda: got.extend(channel.unary_stream(path("Half"))(b"", timeout=20)))
        assert (got, error.details()) == ([b"one", b"two"], "half way"), (got, error.details())

    def deadlines():
        left = float(ask("TimeLeft", timeout=20))
        assert 10 < left < 21, left
        fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: ask("Sleep", timeout=0.3))

    def a_cancel_reaches_the_server():
        before = int(ask("Cancelled"))
        call = channel.unary_unary(path("Sleep")).future(b"", timeout=20)
        time.sleep(0.2)
        call.cancel()
        end = time.monotonic() + 15
        while int(ask("Cancelled")) == before:
            assert time.monotonic() < end, "the server never heard of it"
            time.sleep(0.02)

    def many_at_once():
        calls = [channel.unary_unary(path("Unary")).future(b"%d" % number, timeout=20) for number in range(500)]
        assert [call.result() for call in calls] == [b"%d" % number for number in range(500)]

    def nobody_is_there():
        error = fails(grpc.StatusCode.UNAVAILABLE, lambda: ask("Unary", service="test.Gone"))
        assert "HTTP" not in (error.details() or "").upper(), error.details()

    cases = [
        unary_of_all_sizes,
        metadata_both_ways,
        the_status_of_the_server,
        a_method_that_is_not_there,
        streams_down,
        streams_up,
        streams_in_turns,
        an_error_half_way,
        deadlines,
        a_cancel_reaches_the_server,
        many_at_once,
        nobody_is_there,
    ]
    failed = 0
    for case in cases:
        try:
            case()
        except Exception as error:
            failed += 1
            print(f"{case.__name__}: {type(error).__name__}: {error}")
    print(f"{len(cases)} cases, {failed} failed")
    return failed


if sys.argv[1] == "serve":
    serve()
else:
    failed = talk(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
    sys.stdout.flush()
    os._exit(1 if failed else 0)
