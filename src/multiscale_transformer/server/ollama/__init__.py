"""Ollama's routes: generation, chats, embeddings and models."""
