"""Lean Twisted transports, TLS and reactor loop, behind one switch; and what every listener needs whichever way it is set.

Five nouns: a `reactor` with a steady clock; `listen` and `connect`, which open sockets with lean or stock transports;
`secure`, which puts TLS and its deadlines round a factory; `crowd`, which counts connections; and `watch`, which
notices clients that left while nobody reads from them. `tcp` and `tls` hold what is lean.
"""
