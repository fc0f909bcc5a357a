"""The pure core: standard library and attrs only; takes values and `now`, returns values, knows no reactor."""
