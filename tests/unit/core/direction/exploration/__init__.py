"""Every interleaving of two replicas and an operator, through the functions that production imports.

`parts.py` says what a partition and a slot are and what can happen to them; `control.py` what can happen to the control topic
and the replicas; `search.py` goes through all states; `scenarios.py` has the changes that are explored, `planted.py` bugs that
must be found.
"""
