"""Bytes to requests and back, for HTTP/1.1, HTTP/2 and WebSocket; no idea of keys or services."""
