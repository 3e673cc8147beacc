"""The steady part of a load: it begins when every client is at work, and ends while all still are."""

from dataclasses import dataclass, field

from benchmarks.serving.load import Level

SECONDS = 10.0  # the shortest window
ROUNDS = 2  # answers of each client in the shortest window
ARRIVALS = 10  # answers of an open loop in the shortest window


@dataclass
class Window:
    """The window leaves out the warm-up, until each client has had its first answer, and the tail: the load goes on
    until the last request of the window has ended. The window of N clients ends after a multiple of N answers, so that
    clients in step are not cut in the middle of a round.
    """

    clients: int = 1
    least: int = ARRIVALS  # answers
    seconds: float = SECONDS
    start: float | None = None
    end: float | None = None
    _ready: set[int] = field(default_factory=set)  # clients that have had an answer
    _asked: dict[int, float] = field(default_factory=dict)  # times of the requests without an answer so far
    _answers: int = 0  # in the window

    @classmethod
    def of(cls, level: Level, seconds: float = SECONDS) -> "Window":
        """The window of a level. An open loop begins with its first answer."""
        if level.kind == "rate":
            return cls(seconds=seconds)
        return cls(int(level.size), ROUNDS * int(level.size), seconds)

    def asked(self, number: int, at: float) -> None:
        """Note that a request begins."""
        self._asked[number] = at

    def ended(self, number: int, at: float, client: int = 0) -> None:
        """Note that a request of a client ended, with an answer or a failure."""
        del self._asked[number]
        self._ready.add(client)
        if self.start is None:
            if len(self._ready) == self.clients:
                self.start = at
        elif self.end is None:
            self._answers += 1
            whole = self._answers >= self.least and self._answers % self.clients == 0
            if whole and at - self.start >= self.seconds:
                self.end = at

    @property
    def over(self) -> bool:
        """Tell whether all requests of the window have ended."""
        return self.end is not None and all(at > self.end for at in self._asked.values())
