"""The way out: requests to the services behind the gate, and what is known of these."""
