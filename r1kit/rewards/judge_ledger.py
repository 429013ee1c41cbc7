"""What a judge has answered and what that has cost: a small SQLite file, or memory where none is named.

The same question is asked once. All processes of a run, and later sessions of it, share the file; so the budget counts
what earlier sessions have spent, and a run that is resumed gets the verdicts that it had.
"""

import hashlib
import json
import sqlite3
import threading
from typing import Any

from r1kit.rewards.settings import SettingError

IN_MEMORY = ":memory:"
LOCK_SECONDS = 60.0
"""Seconds for which a process waits while another one writes."""

_TABLES = """
CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS spent (
    id INTEGER PRIMARY KEY CHECK (id = 1), requests INTEGER, prompt_tokens INTEGER, tokens INTEGER
);
INSERT OR IGNORE INTO spent VALUES (1, 0, 0, 0);
"""


class JudgeLedger:
    """Replies by the hash of what was asked, and the tokens of all requests. Safe among threads and processes."""

    def __init__(self, path: str | None):
        """Open or create the file. Raises SettingError where it cannot be, or is no such file."""
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(path or IN_MEMORY, timeout=LOCK_SECONDS, check_same_thread=False)
            self._connection.executescript(_TABLES)
        except sqlite3.Error as error:
            requirement = f"must be a file that SQLite can write: {error}"
            raise SettingError("judge", "cache", path, requirement) from None

    def find(self, key: str) -> str | None:
        """Return the reply to what has this key, None if it was not asked yet."""
        with self._lock:
            row = self._connection.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def keep(self, key: str, reply: str) -> None:
        """Keep a reply with a verdict."""
        with self._lock, self._connection:
            self._connection.execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", (key, reply))

    def spend(self, prompt_tokens: int, tokens: int) -> None:
        """Count the tokens of a request, whether its reply could be read or not."""
        update = "UPDATE spent SET requests = requests + 1, prompt_tokens = prompt_tokens + ?, tokens = tokens + ?"
        with self._lock, self._connection:
            self._connection.execute(update, (prompt_tokens, tokens))

    def total(self) -> tuple[int, int, int]:
        """Return how many requests were answered, and the tokens of their prompts and of their replies."""
        with self._lock:
            row = self._connection.execute("SELECT requests, prompt_tokens, tokens FROM spent").fetchone()
        requests, prompt_tokens, tokens = row
        return requests, prompt_tokens, tokens


def reply_key(request: dict[str, Any]) -> str:
    """Return the key of a request: a hash of all that its reply depends on."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
