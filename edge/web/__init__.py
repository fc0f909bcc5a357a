"""The Twisted shell, in the order in which a request meets it: site, router (layer 1), guard (layer 2), forward."""
