"""Faults: injected into real hosts, under constant traffic.

    python -m lab.faults            # every row on six hosts of its own (make faults)

rows.py lists the faults and their expected results as data; observer.py runs on the host, injects
one, and reads the state every few milliseconds until it is restored; meanwhile the traffic of every
network is captured on the internet's side. judge.py gives the verdict; report.py shows it.
"""
