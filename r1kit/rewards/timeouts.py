"""How many answers took too long to be judged: what one step of a training counts, in this process."""

import threading
from collections import Counter

_timeouts: Counter[str] = Counter()

# A thread sets `EAGER_THREADS.active` where its timeouts do not count: eager.py judges those rows a second time.
EAGER_THREADS = threading.local()


def count_timeouts(count: int) -> None:
    """Add to the count of timeouts, unless this is a thread whose timeouts do not count."""
    if not getattr(EAGER_THREADS, "active", False):
        _timeouts["timeouts"] += count


def take_timeout_count() -> int:
    """Return how many answers of this process took too long since the last call."""
    count = _timeouts["timeouts"]
    _timeouts["timeouts"] -= count
    return count
