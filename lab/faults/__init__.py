"""Faults: what goes wrong on real hosts, done to them for real, under constant traffic.

    python -m lab.faults            # every row on six hosts of its own (make faults)

rows.py says as data what is done and what is expected; observer.py runs on the host, does it, and
looks every few milliseconds until all is as before; traffic of every network is captured on the
internet's side all the while. judge.py makes a verdict of what was seen; report.py shows it.
"""
