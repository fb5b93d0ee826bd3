"""The upstream simulator: somebody else's API on loopback, with a capacity, quotas, faults and a log of every request.

``lane``, ``weather``, ``quota``, ``link`` and ``journal`` are functions of time without input or output; ``server``
puts them behind HTTP. Run it with ``python -m backpressure_lab.upstream --port N --token-file F``.
"""
