"""The models behind the routes: which there are, which are loaded, and the thread that steps each engine."""
