"""Where a command writes to: what becomes of that never stops what it is doing."""

import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Sink(io.FileIO):
    """An open file that takes what it is given; once something could not be written, what comes after goes nowhere."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "wb", closefd=False)
        self.fault: OSError | None = None
        self.given = 0
        """Bytes it was given, wherever they went."""

    def write(self, data: "ReadableBuffer", /) -> int:
        self.given += memoryview(data).nbytes
        if self.fault is None:
            try:
                return super().write(data)
            except BlockingIOError:
                raise
            except OSError as error:
                self.fault = error
        return memoryview(data).nbytes


class Streams:
    """stdout and stderr of this process, from now on written through sinks."""

    def __init__(self) -> None:
        self._out, self._err = _Sink(1), _Sink(2)
        # a terminal of one script still shows a case whose words are in another: what it cannot show is written out
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout = _text(self._out, sys.stdout)
        if isinstance(sys.stderr, io.TextIOWrapper):
            sys.stderr = _text(self._err, sys.stderr)

    @property
    def silent(self) -> bool:
        """True while nothing was written to stdout."""
        sys.stdout.flush()
        return not self._out.given

    def end(self) -> str | None:
        """Writes out what is held; returns why the output is not whole, or None. That a reader went away is no fault."""
        sys.stdout.flush()
        fault = self._out.fault
        return None if fault is None or isinstance(fault, BrokenPipeError) else fault.strerror or str(fault)


def _text(sink: _Sink, instead_of: io.TextIOWrapper) -> io.TextIOWrapper:
    at_once = instead_of.line_buffering or instead_of.write_through
    buffered = io.BufferedWriter(sink)
    return io.TextIOWrapper(buffered, encoding=instead_of.encoding, errors="backslashreplace", line_buffering=at_once)
