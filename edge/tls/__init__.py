"""TLS at the door: the certificates that the gate shows, the CA that signs its own, and the contexts that use them.

An `Identity` is a chain with its key. The `LocalAuthority` makes one for this host, the `Directory` reads others from
files; `Contexts` shows the right one to each client, and the `CertificateService` keeps all of it fresh while the gate runs.
"""
