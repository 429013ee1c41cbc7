"""Read and write whole messages on the pipes of a box: between judge and box, and between a test's two processes.

A frame comes from the judge: 12 digits of length, then marshal data, which is trusted. A packet comes from another
process in the box: 10 digits of length, then an encoded value (values.py), which is not. What it defends against:
packets that are too long to hold in memory. What it does NOT defend against: a peer that sends nothing; the judge's
time limit does.

This file runs inside the box (boot.py), and imports nothing of r1kit.
"""

import marshal
import os

MAX_OUTPUT_BYTES = 4 * 2**20  # of what a program prints and of an answer, unless more is expected; more ends the test
MAX_PACKET_BYTES = 64 * 2**20  # of one value that goes between a test's two processes
FRAME_DIGITS = 12
NONCE_BYTES = 16  # that follow the frame of a test, and with which the reply to it begins
_CHUNK_BYTES = 1 << 20  # of one read


def write_all(fd, data):
    """Write all of `data`, however many bytes a single write takes."""
    remaining = memoryview(data)
    while remaining:
        remaining = remaining[os.write(fd, remaining) :]


def read_exactly(fd, size):
    """Return `size` bytes, or None where the pipe ends before."""
    chunks = []
    missing_bytes = size
    while missing_bytes:
        chunk = os.read(fd, min(missing_bytes, _CHUNK_BYTES))
        if not chunk:
            return None
        chunks.append(chunk)
        missing_bytes -= len(chunk)
    return b"".join(chunks)


def make_frame(value):
    """Return a frame that holds `value`."""
    data = marshal.dumps(value)
    return b"%12d" % len(data) + data


def read_frame(fd):
    """Return the judge's next frame, or None at the end of the pipe."""
    length = read_exactly(fd, FRAME_DIGITS)
    return None if length is None else marshal.loads(read_exactly(fd, int(length)))


def write_packet(fd, data):
    """Send one packet to the other process."""
    write_all(fd, b"%10d" % len(data) + data)


def read_packet(fd):
    """Return the other process's next packet, or None at the end of the pipe or where its length is not acceptable."""
    length = read_exactly(fd, 10)
    if length is None or not length.strip().isdigit() or int(length) > MAX_PACKET_BYTES:
        return None
    return read_exactly(fd, int(length))
