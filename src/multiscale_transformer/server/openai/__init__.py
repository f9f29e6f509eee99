"""OpenAI's routes: completions, chat completions, responses, embeddings and models."""
