"""The routes of llama.cpp's server: completions, infill, tokenization and the server's status."""
