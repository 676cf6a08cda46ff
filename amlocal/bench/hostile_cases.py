"""What a hostile client may send, made from a seed: the same number gives the same bytes again.

A case is the pieces of bytes to send, with pauses between them, and what may come back. Two families: content, whole
requests whose bodies, headers or paths are not what the swagger asks for, each answered once on a kept connection; and
raw, bytes on a connection of their own that are no HTTP, or two kinds of HTTP at once, or break off.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

CRLF = b"\r\n"
BIG = 100 * 1024 * 1024
MEGABYTE = b"x" * (1 << 20)


@dataclass
class Case:
    """pieces: what to send; a number is a pause in seconds.

    then: `read` until every answer has come, `half` close our side and read to the end, `reset` the connection,
    `leave` without a word. least, most: how many answers must and may come. ids: of requests that nobody may have
    answered, since they stood inside another's body.
    """

    kind: str
    pieces: list[bytes | float]
    then: str = "half"
    least: int = 0
    most: int = 1
    keeps: bool = False  # content: on a connection that goes on
    ids: list[str] = field(default_factory=list)

    def sent(self) -> bytes:
        return b"".join(piece for piece in self.pieces if isinstance(piece, bytes))


class Cases:
    """Cases by number. schema: of the body, from the endpoint's swagger."""

    def __init__(self, seed: int, key: str, schema: dict[str, Any], deployments: tuple[str, ...]) -> None:
        self.seed, self.key, self.schema, self.deployments = seed, key, schema, deployments
        self.kinds: list[tuple[int, Callable[[random.Random, str], Case]]] = [
            (12, self.valid),
            (25, self.nearly_valid),
            (12, self.numbers),
            (4, self.deep),
            (10, self.encodings),
            (8, self.content_types),
            (10, self.paths),
            (10, self.headers),
            (6, self.keys),
            (4, self.sizes),
            (25, self.mutated),
            (12, self.smuggled),
            (10, self.chunks),
            (6, self.framing),
            (4, self.flood),
            (4, self.doubled),
            (3, self.pipeline),
            (3, self.broken_pipeline),
            (3, self.slow),
            (6, self.half_closed),
            (6, self.cut),
            (4, self.reset),
            (4, self.noise),
            (3, self.other_protocols),
            (3, self.expect),
            (2, self.big_declared),
        ]
        self.weights = [weight for weight, _ in self.kinds]

    def __getitem__(self, number: int) -> Case:
        draw = random.Random(f"{self.seed}-{number}")
        if number % 5000 == 2500:  # 100 MB takes a while
            return self.big_sent(draw, f"h-{number}")
        (_, kind) = draw.choices(self.kinds, self.weights)[0]
        return kind(draw, f"h-{number}")

    # -- whole requests

    def request(self, id: str, body: bytes, method: bytes = b"POST", path: bytes = b"/score", **headers: Any) -> bytes:
        """A sound request; a header that is None is left out, `more` is a list of further lines."""
        more = headers.pop("more", [])
        named = {
            "Host": "127.0.0.1",
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            "x-ms-client-request-id": id,
            "Content-Length": str(len(body)),
        } | headers
        lines = [method + b" " + path + b" HTTP/1.1"]
        for name, value in named.items():
            if value is not None:
                lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else str(value).encode()))
        return CRLF.join([*lines, *more, b"", body])

    def content(self, kind: str, draw: random.Random, id: str, body: bytes, **headers: Any) -> Case:
        """A whole request that must be answered once, and whose connection then goes on."""
        if "azureml-model-deployment" not in headers:
            headers["azureml-model-deployment"] = draw.choice(self.deployments)
        return Case(kind, [self.request(id, body, **headers)], "read", 1, 1, keeps=True)

    def valid(self, draw: random.Random, id: str) -> Case:
        return self.content("valid", draw, id, json.dumps(example(self.schema, draw)).encode())

    def nearly_valid(self, draw: random.Random, id: str) -> Case:
        body = json.dumps(distort(example(self.schema, draw), draw)).encode()
        return self.content("nearly valid", draw, id, body)

    def numbers(self, draw: random.Random, id: str) -> Case:
        odd = [
            "NaN",
            "Infinity",
            "-Infinity",
            "1e999",
            "-0.0",
            "1e-999",
            "9" * 400,
            "9" * 5000,
            "0x10",
            "01",
            "1.",
            "+1",
        ]
        row = ",".join(draw.choice(odd) if draw.random() < 0.3 else str(draw.randrange(256)) for _ in range(8))
        return self.content("numbers", draw, id, b'{"input_data": [[%b]]}' % row.encode())

    def deep(self, draw: random.Random, id: str) -> Case:
        depth = draw.choice((50, 500, 990, 1000, 1010, 1023, 1024, 1025, 5000, 100_000))
        opening, closing = draw.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"[[", b"]]")))
        whole = draw.random() < 0.7
        inner = opening * depth + b"1" + closing * (depth if whole else depth - 1)
        return self.content("deep", draw, id, inner if draw.random() < 0.5 else b'{"input_data": ' + inner + b"}")

    def encodings(self, draw: random.Random, id: str) -> Case:
        text = json.dumps({"input_data": [[1, 2, 3, 4]], "name": "zoë 数字 \U0001f600"}, ensure_ascii=False)
        ways: list[Callable[[], bytes]] = [
            lambda: text.encode("utf-16"),
            lambda: text.encode("utf-16-le"),
            lambda: text.encode("utf-32"),
            lambda: text.encode("utf-8-sig"),
            lambda: text.encode("latin-1", "replace"),
            lambda: text.encode()[:-5] + b"\xff\xfe\xfd",
            lambda: b'{"a": "\xed\xa0\x80\\ud800"}',
            lambda: b'{"a": "\x00\x01\x1f"}',
            lambda: b'{"input_data": [[1,2,3,4]]}\x00\x00',
            lambda: b'{"a": "' + "é\u2028\u2029\x85\x0b".encode() + b'"}\r\n\n\r',
            lambda: bytes(draw.randrange(256) for _ in range(draw.randrange(1, 200))),
        ]
        charset = draw.choice(("", "; charset=utf-8", "; charset=utf-16", "; charset=nothing", "; charset=\xff"))
        zipped = draw.choice((None, None, "gzip", "br", "deflate, gzip"))
        headers = {"Content-Type": ("application/json" + charset).encode("latin-1"), "Content-Encoding": zipped}
        return self.content("encodings", draw, id, draw.choice(ways)(), **headers)

    def content_types(self, draw: random.Random, id: str) -> Case:
        kinds = (
            None, "", "text/plain", "text/html", "application/x-www-form-urlencoded", "multipart/form-data",
            "multipart/form-data; boundary=", "multipart/form-data; boundary=x", "application/octet-stream",
            "application/json, text/plain", "application/vnd.api+json", "a" * 2000, "/", ";", "image/png",
        )  # fmt: skip
        bodies = (b"", b"{}", b"null", b"a=1&b=2", b"%00=%ff&&==", b"--x\r\nContent-Disposition: form-data\r\n\r\n1")
        return self.content("content types", draw, id, draw.choice(bodies), **{"Content-Type": draw.choice(kinds)})

    def paths(self, draw: random.Random, id: str) -> Case:
        methods = (b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"PROPFIND", b"POST", b"GET")
        paths = (
            b"/", b"//", b"/score/", b"//score", b"/score/..", b"/./score", b"/score%00", b"/%73core", b"/SCORE", b"*",
            b"/score?", b"/score?a=%00&b=%ff", b"/score#x", b"/score;x=1", b"http://127.0.0.1/score",
            b"http://elsewhere/score", b"/swagger.json", b"/swagger.json?version=3", b"/swagger.json?version=%2e%2e",
            b"/../../etc/passwd", b"/%2e%2e/%2e%2e/etc/passwd", b"/metrics", b"/console", b"/console/../keys.json",
            b"/modeldata/log", b"/modeldata/../score", b"/" + b"a" * draw.choice((100, 8000, 60_000)),
            b"/score?" + b"a=1&" * 5000, b"/\xc3\xa9", b"/\xff\xfe", b"/score\x7f",
        )  # fmt: skip
        path = draw.choice(paths)
        case = self.content("paths", draw, id, b"{}", method=draw.choice(methods), path=path)
        if any(byte >= 127 for byte in path) or path == b"*" or len(path) > 50_000 or path.startswith(b"http"):
            case.keeps, case.then = False, "half"  # may be refused as HTTP, and the connection closed
        return case

    def headers(self, draw: random.Random, id: str) -> Case:
        odd: tuple[dict[str, Any], ...] = (
            {"x-request-id": "r" * 101},
            {"x-request-id": ""},
            {"x-request-id": b"\xff\xfe\x80"},
            {"x-request-id": "\"\\'<script>"},
            {"x-ms-client-request-id": "ü" * 200},
            {"x-ms-client-request-id": "../../../etc"},
            {"x-ms-request-id": "old"},
            {"traceid": "x" * 500},
            {"azureml-model-deployment": "nobody"},
            {"azureml-model-deployment": "../blue"},
            {"azureml-model-deployment": b"\xff"},
            {"azureml-model-deployment": "b" * 5000},
            {"Cookie": "a=b; " * 1000},
            {"Accept": "image/" + "*" * 3000},
            {"X_Underscore": "1", "x-ms-run-fn-exec-ms": "0", "ms-azureml-model-error-statuscode": "200"},
            {"Origin": "https://elsewhere.example"},
            {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
            {"Range": "bytes=0-0", "If-None-Match": "*"},
            {"Connection": "keep-alive, x-request-id"},
            {"Content-MD5": "junk", "Date": "never", "Via": "1.1 nobody", "X-Forwarded-For": "' OR 1=1"},
        )
        body = json.dumps(example(self.schema, draw)).encode()
        return self.content("headers", draw, id, body, **draw.choice(odd))

    def keys(self, draw: random.Random, id: str) -> Case:
        secret = self.key
        wrong = (
            None, "", "Bearer", "Bearer ", f"Basic {secret}", secret, f"Bearer {secret}x", f"Bearer {secret[:-1]}",
            f"Bearer {secret.swapcase()}", "Bearer " + "x" * 20_000, b"Bearer \xff\xfe", "Bearer a.b.c",
            "Bearer eyJhbGciOiJub25lIn0" + ".eyJleHAiOjk5OTk5OTk5OTl9.", f"Bearer {secret} {secret}", "Basic !!!",
        )  # fmt: skip
        return self.content("keys", draw, id, b"{}", Authorization=draw.choice(wrong))

    def sizes(self, draw: random.Random, id: str) -> Case:
        rows = draw.choice((0, 1, 100, 3000))
        width = draw.choice((0, 1, 3, 4, 5, 300))
        if draw.random() < 0.02:
            return self.content("sizes", draw, id, b'{"a": "' + MEGABYTE * 8 + b'"}')
        body = json.dumps({"input_data": [[draw.randrange(256)] * width] * rows}).encode()
        return self.content("sizes", draw, id, body)

    # -- raw bytes

    def whole(self, draw: random.Random, id: str) -> bytes:
        return self.request(id, json.dumps(example(self.schema, draw)).encode())

    def mutated(self, draw: random.Random, id: str) -> Case:
        data = bytearray(self.whole(draw, id))
        for _ in range(draw.choice((1, 1, 1, 2, 3, 10))):
            at = draw.randrange(len(data))
            what = draw.randrange(8)
            if what == 0:
                data[at] = draw.randrange(256)
            elif what == 1:
                del data[at : at + draw.choice((1, 2, 10, 100))]
            elif what == 2:
                data[at:at] = bytes(draw.randrange(256) for _ in range(draw.choice((1, 2, 20))))
            elif what == 3:
                data[at:at] = data[at : at + draw.randrange(1, 100)]
            elif what == 4:
                data[at:at] = draw.choice(
                    (b"\r\n", b"\n", b"\r", b"\0", b":", b" ", b"\t", b"\r\n\r\n", b"\x0b", b"\xff")
                )
            elif what == 5:
                lines = bytes(data).split(CRLF)
                draw.shuffle(lines)
                data = bytearray(CRLF.join(lines))
            elif what == 6:
                data = bytearray(bytes(data).replace(CRLF, draw.choice((b"\n", b"\r", b"\n\r", b"\r\r\n"))))
            else:
                data[at] = data[at] ^ (1 << draw.randrange(8))
            data = data or bytearray(b"\n")
        # Whatever the bytes are now, each answer needs a request line.
        return Case("mutated", [bytes(data)], least=0, most=2 + bytes(data).count(b"HTTP/"))

    def smuggled(self, draw: random.Random, id: str) -> Case:
        """Two readings of where the body ends; by one of them, a second request stands inside it."""
        hidden_id = f"smuggled-{id}"
        hidden = self.request(hidden_id, b"{}", path=draw.choice((b"/score", b"/hidden")))
        chunked = b"0\r\n\r\n" + hidden
        transfer = draw.choice(
            (
                b"Transfer-Encoding: chunked",
                b"Transfer-Encoding : chunked",
                b"Transfer-Encoding: xchunked",
                b"Transfer-Encoding: chunked, identity",
                b"Transfer-Encoding: identity, chunked",
                b"Transfer-Encoding:\tchunked",
                b"Transfer-Encoding: \x0bchunked",
                b"Transfer-Encoding: chunked\x00",
                b"Transfer-Encoding: CHUNKED",
                b"X: x\nTransfer-Encoding: chunked",
                b"Transfer-Encoding\r\n : chunked",
                b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
                b" Transfer-Encoding: chunked",
                b"X: x\r\n Transfer-Encoding: chunked",
                b"Transfer_Encoding: chunked",
                b'Transfer-Encoding: "chunked"',
            )
        )
        lengths = draw.choice(
            (
                [b"Content-Length: %d" % len(chunked), transfer],
                [transfer, b"Content-Length: 5"],
                [b"Content-Length: 0", b"Content-Length: %d" % len(chunked)],
                [b"Content-Length: %d" % len(chunked), b"Content-Length: 5"],
                [b"Content-Length: 5, %d" % len(chunked)],
                [b"Content-Length: +5"],
                [b"Content-Length: -1"],
                [b"Content-Length: 0x5"],
                [b"Content-Length: 5 5"],
                [b"Content-Length : 5"],
                [b"Content-Length:\x0b5"],
                [b"Content-Length: \xd9\xa5"],
                [b"Content-Length: 18446744073709551621"],
            )
        )
        data = self.request(id, chunked, **{"Content-Length": None}, more=lengths)
        # By no reading that is allowed are there two: RFC 9112, 6.1 and 6.3, has all of these refused or closed after.
        allowed = any(line.lower().startswith((b"transfer_encoding", b"x: x\r\n ", b" ")) for line in lengths)
        return Case("smuggled", [data], least=0, most=2 if allowed else 1, ids=[] if allowed else [hidden_id])

    def chunks(self, draw: random.Random, id: str) -> Case:
        """Chunked bodies, some of them sound."""
        body = json.dumps(example(self.schema, draw)).encode()
        sound = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        bodies = (
            sound,
            b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n",
            b'%x;a=b;c="d"\r\n%b\r\n0\r\nTrailer: x\r\nContent-Length: 3\r\n\r\n' % (len(body), body),
            b"%X;%b\r\n%b\r\n0\r\n\r\n" % (len(body), b"e" * draw.choice((10, 5000, 70_000)), body),
            b"0\r\n" + b"T: x\r\n" * draw.choice((1, 100, 5000)) + b"\r\n",
            b"000000000000%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
            b"ffffffffffffffff\r\n" + body,
            b"10000000000000000\r\n" + body,
            b"-1\r\n" + body,
            b"0x5\r\nabcde\r\n0\r\n\r\n",
            b"5\nabcde\n0\n\n",
            b"5\r\nabcdefgh\r\n0\r\n\r\n",
            b"5\r\nabc",
            b"\r\n5\r\nabcde\r\n0\r\n\r\n",
            b"5 \r\nabcde\r\n0\r\n\r\n",
            b"z\r\n",
            b"",
            b"7fffffff\r\n" + b"x" * 100,
        )
        head = self.request(id, b"", **{"Content-Length": None}, more=[b"Transfer-Encoding: chunked"])
        chosen = draw.choice(bodies)
        pieces: list[bytes | float] = [head + chosen]
        if draw.random() < 0.3:
            cut = draw.randrange(len(head) + len(chosen))
            pieces = [(head + chosen)[:cut], 0.01, (head + chosen)[cut:]]
        return Case("chunks", pieces, least=1 if chosen in bodies[:2] else 0)

    def framing(self, draw: random.Random, id: str) -> Case:
        """Request lines and headers that are not quite those of RFC 9112."""
        body = b"{}"
        good = self.request(id, body)
        lines = (
            b"POST /score HTTP/1.1 extra", b"POST  /score HTTP/1.1", b"POST /score", b"POST /score HTTP/9.9",
            b"POST /score HTTP/1.0", b"POST /score HTTP/0.9", b"POST\t/score\tHTTP/1.1", b"post /score HTTP/1.1",
            b"POST /score http/1.1", b"POST /score HTTP/1.1\x00", b"\x00POST /score HTTP/1.1", b"P\x00ST / HTTP/1.1",
            b"POST /sc ore HTTP/1.1", b" POST /score HTTP/1.1", b"\r\n\r\nPOST /score HTTP/1.1", b"GET", b"",
            b"POST /score HTTP/1.1\r\nNoColon", b"POST /score HTTP/1.1\r\n: empty", b"POST /score HTTP/1.1\r\nA B: c",
            b"POST /score HTTP/1.1\r\nA: b\x00c", b"POST /score HTTP/1.1\r\nA: b\r\n folded",
            b"POST /score HTTP/1.1\r\nA\xff: b", b"POST /score HTTP/1.1\r\nA: b\rC: d", b"M" * 5000 + b" / HTTP/1.1",
            b"POST /score HTTP/1.1\r\nHost: elsewhere",
        )  # fmt: skip
        return Case("framing", [draw.choice(lines) + good[good.index(CRLF) :]], most=2)

    def flood(self, draw: random.Random, id: str) -> Case:
        more = draw.choice(
            (
                [b"A: b"] * 20_000,
                [b"X-%d: y" % number for number in range(5000)],
                [b"X: " + b"y" * 200_000],
                [b"x" * 200_000 + b": y"],
                [b": "] * 3000,
                [b"Cookie: a=b"] * 900,
            )
        )
        return Case("flood", [self.request(id, b"{}", more=more)], least=1)

    def doubled(self, draw: random.Random, id: str) -> Case:
        more = draw.choice(
            (
                [b"Host: 127.0.0.1"],
                [b"Host: elsewhere"],
                [b"Content-Length: 2"],
                [b"Authorization: Bearer x"],
                [b"Content-Type: text/plain"],
                [b"azureml-model-deployment: blue", b"azureml-model-deployment: green"],
                [b"x-request-id: a", b"x-request-id: b"],
                [b"x-ms-client-request-id: another"],
                [b"Connection: close", b"Connection: keep-alive"],
            )
        )
        return Case("doubled", [self.request(id, b"{}", more=more)], least=1)

    def pipeline(self, draw: random.Random, id: str) -> Case:
        """100 requests sent at once; all are answered."""
        deep = 100
        data = b"".join(self.request(f"{id}-{number}", b"{}") for number in range(deep))
        cut = draw.randrange(len(data))
        pieces: list[bytes | float] = [data] if draw.random() < 0.5 else [data[:cut], 0.02, data[cut:]]
        return Case("pipeline", pieces, draw.choice(("half", "read")), deep, deep)

    def broken_pipeline(self, draw: random.Random, id: str) -> Case:
        """Good requests with one that is none among them, or that nobody waits for."""
        good = draw.randrange(1, 30)
        data = b"".join(self.request(f"{id}-{number}", b"{}") for number in range(good))
        if draw.random() < 0.3:
            return Case("broken pipeline", [data], "reset", 0, good)
        return Case("broken pipeline", [data + b"\x01\x02 nonsense\r\n\r\n" + data], "half", good, good + 1)

    def slow(self, draw: random.Random, id: str) -> Case:
        """A request byte by byte, or in a few pieces."""
        data = self.whole(draw, id)
        if draw.random() < 0.5:
            pieces: list[bytes | float] = []
            for byte in data[-60:]:
                pieces += [bytes([byte]), 0.005]
            return Case("slow", [data[:-60], *pieces], "read", 1, 1)
        cuts = sorted(draw.randrange(len(data)) for _ in range(4))
        pieces = []
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            pieces += [data[start:end], 0.1]
        return Case("slow", pieces, "read", 1, 1)

    def half_closed(self, draw: random.Random, id: str) -> Case:
        """A whole request, then our side is closed: it is answered all the same, then the other side closes, too."""
        return Case("half-closed", [self.whole(draw, id)], "half", 1, 1)

    def cut(self, draw: random.Random, id: str) -> Case:
        """A request that breaks off."""
        data = self.whole(draw, id)
        return Case("cut", [data[: draw.randrange(len(data))]], draw.choice(("half", "leave")), 0, 1)

    def reset(self, draw: random.Random, id: str) -> Case:
        """The connection is reset in the middle of a body, or right after it."""
        data = self.whole(draw, id)
        where = draw.choice((len(data), draw.randrange(len(data)), data.index(b"\r\n\r\n") + 4))
        return Case("reset", [data[:where], draw.choice((0.0, 0.001, 0.02))], "reset", 0, 1)

    def noise(self, draw: random.Random, id: str) -> Case:
        data = bytes(draw.randrange(256) for _ in range(draw.choice((1, 10, 300, 3000))))
        return Case("noise", [data], "half", 0, 1 + data.count(b"HTTP/"))

    def other_protocols(self, draw: random.Random, id: str) -> Case:
        data = draw.choice(
            (
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x2a" * 500,
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
                b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + self.request(id, b"{}"),
                b"SSH-2.0-OpenSSH_9.0\r\n",
                b"EHLO me\r\n",
                b"*1\r\n$4\r\nPING\r\n",
                self.request(id, b"", b"GET", **{"Connection": "Upgrade", "Upgrade": "websocket"}),
                self.request(id, b"{}", **{"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c"}),
                self.request(id, b"", b"CONNECT", b"127.0.0.1:80"),
            )
        )
        return Case("other protocols", [data], "half", 0, 1)

    def expect(self, draw: random.Random, id: str) -> Case:
        """100-continue, kept and not."""
        value = draw.choice(("100-continue", "100-Continue", "200-maybe", "100-continue, 100-continue"))
        data = self.request(id, b'{"a": 1}', Expect=value)
        body = data.index(b"\r\n\r\n") + 4
        if draw.random() < 0.5:
            return Case("expect", [data], "half", 1, 1)
        return Case("expect", [data[:body], 0.02, data[body:]], "read", 1, 1)

    def big_declared(self, draw: random.Random, id: str) -> Case:
        """100 MB announced and not sent: refused at once."""
        data = self.request(id, b'{"a": "', **{"Content-Length": draw.choice((BIG, 10**15, 10**30))})
        return Case("100 MB declared", [data], "read", 1, 1)

    def big_sent(self, draw: random.Random, id: str) -> Case:
        """100 MB announced and sent, or sent in chunks."""
        if draw.random() < 0.5:
            head = self.request(id, b"", **{"Content-Length": BIG})
            return Case("100 MB sent", [head, *[MEGABYTE] * 100], "read", 1, 1)
        head = self.request(id, b"", **{"Content-Length": None}, more=[b"Transfer-Encoding: chunked"])
        chunk = b"%x\r\n%b\r\n" % (len(MEGABYTE), MEGABYTE)
        return Case("100 MB sent", [head, *[chunk] * 100], "read", 1, 1)


# -- bodies


def example(schema: dict[str, Any], draw: random.Random) -> Any:
    """A value of this JSON schema, as far as swaggers of scoring scripts go."""
    if "example" in schema and draw.random() < 0.3:
        return schema["example"]
    kind = schema.get("type")
    if kind == "object":
        return {name: example(each, draw) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        inner = schema.get("items", {})
        size = 4 if inner.get("type") in ("number", "integer") else draw.randrange(1, 4)
        return [example(inner, draw) for _ in range(size)]
    if kind == "integer":
        return draw.randrange(256)
    if kind == "number":
        return draw.choice((draw.random() * 255, 0, 255))
    if kind == "boolean":
        return draw.random() < 0.5
    if kind == "string":
        return "text"
    return {"input_data": [[draw.randrange(256) for _ in range(4)]]}


STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**63, 2**64, -(2**70), 1e308, -1e308, 0.1, "", "1", "NaN", "\x00", "\ud800", "é" * 100,
    [], {}, [[]], [None], {"": None}, {"__class__": "x"}, [[[[[]]]]], "a" * 5000,
)  # fmt: skip


def distort(value: Any, draw: random.Random) -> Any:
    """The value with something in it of another type, size or name."""
    if isinstance(value, dict) and value and draw.random() < 0.7:
        name = draw.choice(list(value))
        what = draw.randrange(4)
        if what == 0:
            return {key: each for key, each in value.items() if key != name}
        if what == 1:
            return {**value, draw.choice(("extra", "", "__proto__", name.upper(), "é")): draw.choice(STRANGE)}
        return {**value, name: distort(value[name], draw)}
    if isinstance(value, list) and value and draw.random() < 0.7:
        at = draw.randrange(len(value))
        what = draw.randrange(4)
        if what == 0:
            return value[:at] + value[at + 1 :]
        if what == 1:
            return value * draw.choice((2, 100))
        return [*value[:at], distort(value[at], draw), *value[at + 1 :]]
    return draw.choice(STRANGE)
