"""One function each that returns a `Recipe`."""
