"""The model server: OpenAI, Ollama and llama.cpp routes over the engine's continuous batch, and a playground."""
