"""Does far context do anything? Three probes with a planted or a natural answer."""
