"""What all dialects share: prompts, chat templates, requests to the engine, answers and streams."""
