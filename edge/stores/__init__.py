"""Homes of keys: one contract, several of them."""
