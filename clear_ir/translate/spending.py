"""A limit on the tokens that a run may spend."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from clear_ir.data.files import InputError


class LimitReached(InputError):
    """The next request could cost more tokens than are left."""


class Reservation:
    """The most that one request can cost, until its cost is known.

    Args:
        most: Tokens of the prompt and of the longest answer.
    """

    def __init__(self, most: int) -> None:
        self.most = self.cost = most

    def settle(self, cost: int) -> None:
        """Say what the request did cost."""
        self.cost = cost


class Spending:
    """The tokens that requests have cost. Requests in several threads may share it.

    Args:
        limit: The most tokens to spend. None: no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.spent = 0
        self._reserved = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, most: int) -> Iterator[Reservation]:
        """Set tokens aside for a request, so that requests at the same time cannot pass the limit together.

        Where they might, the request waits for what the others really cost.

        Args:
            most: The most that it can cost.

        Yields:
            The reservation. Unless it is settled, the request has cost all of it: nobody knows better.

        Raises:
            LimitReached: If less than that is left.
        """
        with self._changed:
            while self.limit is not None and self.spent + self._reserved + most > self.limit:
                if self.spent + most > self.limit:
                    raise LimitReached(
                        f"The limit of {self.limit:,} tokens is reached: {self.spent:,} are spent, and a request may "
                        f"cost {most:,}. What was made is kept; run the same command again to go on, or raise it.",
                        "token_limit",
                    )
                self._changed.wait()
            self._reserved += most
        reservation = Reservation(most)
        try:
            yield reservation
        finally:
            with self._changed:
                self._reserved -= most
                self.spent += reservation.cost
                self._changed.notify_all()
