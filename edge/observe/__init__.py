"""Reads the Outcome of each request: logs, metrics, usage. Nothing here may slow or break one."""
