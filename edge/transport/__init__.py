"""Sockets and TLS, lean or stock, behind one switch."""
