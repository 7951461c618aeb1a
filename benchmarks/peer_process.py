"""A process for each peer, so that no library's idle threads stand in another's way."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any

from peers import Parameters, Problem, adapter


def _serve(connection: Connection, name: str) -> None:
    """Answers a `Problem` with whether the peer is there, and a number of iterations with a timed fit."""
    run: Any = None
    while True:
        try:
            asked = connection.recv()
        except EOFError:
            return
        if isinstance(asked, Problem):
            run = adapter(name, asked)
            connection.send(run is not None)
        else:
            begun = time.perf_counter()
            parameters = run(asked)
            connection.send((time.perf_counter() - begun, parameters))


class PeerProcess:
    """The named peer, asleep in its own process until it is asked to run."""

    def __init__(self, name: str) -> None:
        # A fresh interpreter: JAX's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name), daemon=True)
        self._process.start()
        theirs.close()

    def prepare(self, problem: Problem) -> bool:
        """Sets the problem; False where the peer is not installed."""
        self._connection.send(problem)
        return bool(self._connection.recv())

    def run(self, m: int) -> tuple[float, Parameters]:
        """Seconds that `m` iterations took, and where they led."""
        self._connection.send(m)
        answer: tuple[float, Parameters] = self._connection.recv()
        return answer

    def close(self) -> None:
        self._connection.close()
        self._process.join()
