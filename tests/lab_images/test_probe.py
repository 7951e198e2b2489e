"""The Go program lab/images/probe: its tests and its format."""

from pathlib import Path

from tests.go_module import check_go_module


def test_module_passes_its_own_checks() -> None:
    """Its tests, `go vet`, and gofmt's format."""
    check_go_module(Path(__file__).resolve().parents[2] / "lab" / "images" / "probe")
