"""Archives in Zarr v3 that any reader can open at any moment, and one writer at a time extends."""
