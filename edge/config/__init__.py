"""The configuration: what it may say (`schema`), how it is read (`read`), what it must make sense of (`check`)."""
