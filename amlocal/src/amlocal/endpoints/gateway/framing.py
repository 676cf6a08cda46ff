"""Where each request's line, headers and body end in what a client sends, which the parser does not tell.

llhttp, the parser, takes request lines that RFC 9112 has not: two spaces between the parts, no version, RTSP/1.0. To
look at a line one must know where it begins, also behind the body of the request before. So the parser is given what
came in pieces, none of which reaches beyond the end of a request or of its headers. What is in them is its own affair.
"""

import re
from collections.abc import Callable

# RFC 9112, section 3: method SP request-target SP HTTP-version CRLF.
LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+ HTTP/[0-9]\.[0-9]\r\n")
EMPTY_LINES = re.compile(rb"(?:\r\n)*")  # before a request: section 2.2 has them ignored
END = b"\r\n\r\n"


class BadLine(ValueError):
    """A request's first line is none."""


class Framing:
    """Cuts the bytes of one connection. After a piece that ends the headers, `body` is to say what follows them.

    Each step takes what came and from where in it to go on, and gives where the next piece ends.
    """

    def __init__(self) -> None:
        self._step: Callable[[bytes, int], int] = self._line
        self._seen = b""  # of the line that is coming; of headers and trailers the last three bytes
        self._left = 0

    def next_end(self, data: bytes, start: int) -> int:
        """Until where the parser may be given `data` from `start`, which is before its end. Raises BadLine."""
        return self._step(data, start)

    def body(self, length: int | None) -> None:
        """The headers have ended and announce so many bytes; None: chunks."""
        self._left, self._seen = length or 0, b""
        self._step = self._chunk_line if length is None else self._sized if length else self._line

    def _line(self, data: bytes, start: int) -> int:
        if not self._seen:
            empty = EMPTY_LINES.match(data, start)
            if empty and empty.end() > start:
                return empty.end()
        line, end = self._whole_line(data, start)
        if line == b"\r\n":  # an empty one that came in two parts
            return end
        if line:
            if not LINE.fullmatch(line):
                raise BadLine
            self._seen, self._step = b"\r\n", self._headers
            if end < len(data):
                return self._headers(data, end)
        return end

    def _headers(self, data: bytes, start: int) -> int:
        return self._empty_line(data, start)[1]

    def _sized(self, data: bytes, start: int) -> int:
        """The rest of a body."""
        return self._rest(data, start, self._line)

    def _chunk_line(self, data: bytes, start: int) -> int:
        line, end = self._whole_line(data, start)
        if line:
            try:
                size = int(line.partition(b";")[0], 16)
            except ValueError:
                return end  # the parser refuses it
            if size:
                self._left, self._step = size + 2, self._chunk  # with the line break behind it
            else:
                self._seen, self._step = b"\r\n", self._trailers
        return end

    def _chunk(self, data: bytes, start: int) -> int:
        return self._rest(data, start, self._chunk_line)

    def _trailers(self, data: bytes, start: int) -> int:
        found, end = self._empty_line(data, start)
        if found:
            self._seen, self._step = b"", self._line
        return end

    def _whole_line(self, data: bytes, start: int) -> tuple[bytes, int]:
        """(a line that ends in what came, else nothing; where it or what came ends)"""
        end = data.find(b"\n", start) + 1
        self._seen += data[start : end or len(data)]
        if not end:
            return b"", len(data)
        line, self._seen = self._seen, b""
        return line, end

    def _empty_line(self, data: bytes, start: int) -> tuple[bool, int]:
        """(whether an empty line ends in what came; where it or what came ends)"""
        for end in range(start + 1, min(start + 4, len(data) + 1)):  # it may have begun in what came before
            if (self._seen + data[start:end]).endswith(END):
                return True, end
        found = data.find(END, start)
        if found >= 0:
            return True, found + len(END)
        self._seen = (self._seen + data[max(start, len(data) - 3) :])[-3:]
        return False, len(data)

    def _rest(self, data: bytes, start: int, then: Callable[[bytes, int], int]) -> int:
        size = min(self._left, len(data) - start)
        self._left -= size
        if not self._left:
            self._step = then
        return start + size
