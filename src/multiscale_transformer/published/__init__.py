"""The import names of the published system, each a shim over what does the work now."""
