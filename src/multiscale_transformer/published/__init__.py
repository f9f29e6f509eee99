"""The import names of the published system: `training/tokenizer.py` here is `multiscale_transformer.training.tokenizer`.

Each file is a shim over what does the work now. The package finds them where it has no module of that name itself.
"""
