"""The gate beside its peers on the same work: CPU for each request, delay, memory. `python -m bench --help`.

`machine` reads what a process costs, `stub` is the service behind everybody, `peers` start the gate and the others,
`cases` are the pieces of work, `load/` the clients, `rounds` interleaves, `report` prints and draws.
"""
