"""What services ask of each other through the control.* topics, as JSON. The key is the stream's key."""

from __future__ import annotations

from msgspec import Struct


class SnapshotRequest(Struct, frozen=True):
    """control.snapshot: a book processor needs a REST snapshot of this book in raw.book.

    Ingest fetches one under its weight budget, unless one is already on its way.
    """

    reason: str
    """`crossed <bid> >= <ask>`, `waiting`: no book for a while and nothing came."""
    update_id: str = ""
    """The newest update the asking book has seen: a snapshot must be at least this new."""


class BookRequest(Struct, frozen=True):
    """control.book_request: a consumer wants a deep view of a live book, answered on md.book_reply under the same key.

    The reply is the book at the moment the request is read: outside the replay promise.
    """

    levels: int = 0
    """Levels a side; 0: all that are kept."""
