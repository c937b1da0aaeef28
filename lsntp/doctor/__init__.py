"""Is everything there that a run needs? One check a thing, each with its remedy."""
