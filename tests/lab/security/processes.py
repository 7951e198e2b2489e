"""The command lines of all processes that run meanwhile, sampled as fast as possible."""

import threading
from pathlib import Path
from types import TracebackType


class Sampler:
    """Reads /proc/*/cmdline repeatedly; `seen` has each command line once.

    A process shorter than a round may be missed: `rounds` is the number of rounds.
    """

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self.rounds = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(10)

    def _look(self) -> None:
        while not self._ended.is_set():
            for folder in Path("/proc").glob("[1-9]*"):
                try:
                    self.seen.add((folder / "cmdline").read_bytes())
                except OSError:
                    # It ended between the listing and the read.
                    continue
            self.rounds += 1

    def having(self, word: str) -> list[str]:
        """Return the command lines, with blanks between their words, that contain `word`."""
        lines = (line.replace(b"\0", b" ").decode(errors="replace") for line in self.seen)
        return [line for line in lines if word in line]
