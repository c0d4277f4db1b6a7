"""Cost and quality, measured: `nox -s bench` draws the page that a person chooses a network from."""
