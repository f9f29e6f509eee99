"""Each framework for agents does what it does in normal use, against the server whose address is the first argument.

Runs in the environment of agents.txt, where AXL is not: `python try_agents.py http://127.0.0.1:8880 tiny [name]`.
Prints a line for each client and exits with 1 when one failed.
"""

import asyncio
import os
import sys

from trying import try_all

os.environ |= {"OPENAI_API_KEY": "none", "OPENAI_AGENTS_DISABLE_TRACING": "1"}
URL, MODEL = sys.argv[1], sys.argv[2]


def add(a: bool) -> str:
    """Adds.

    Args:
        a: What to add.
    """
    return f"{a}, added"


def openai_agents() -> None:
    asyncio.run(_openai_agents())  # one loop, since the connections of a client belong to one


async def _openai_agents() -> None:
    from openai import AsyncOpenAI

    import agents

    client = AsyncOpenAI(base_url=f"{URL}/v1")
    for kind in (agents.OpenAIResponsesModel, agents.OpenAIChatCompletionsModel):
        model = kind(model=MODEL, openai_client=client)
        plain = agents.Agent(name="plain", instructions="Be brief.", model=model)  # an answer cut short is a failure to it
        assert isinstance((await agents.Runner.run(plain, "Say something.")).final_output, str)
        assert [event async for event in agents.Runner.run_streamed(plain, "Say something.").stream_events()]
        calling = agents.Agent(
            name="calling",
            tools=[agents.function_tool(add)],
            tool_use_behavior="stop_on_first_tool",
            model=model,
            model_settings=agents.ModelSettings(max_tokens=200, tool_choice="required"),
        )
        assert (await agents.Runner.run(calling, "Add true.")).final_output.endswith("added")


def pydantic_ai() -> None:
    from anthropic import AsyncAnthropic
    from pydantic_ai import Agent, NativeOutput
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.models.ollama import OllamaModel
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.anthropic import AnthropicProvider
    from pydantic_ai.providers.ollama import OllamaProvider
    from pydantic_ai.providers.openai import OpenAIProvider

    openai = OpenAIProvider(base_url=f"{URL}/v1", api_key="none")
    anthropic = AnthropicProvider(anthropic_client=AsyncAnthropic(base_url=URL, api_key="none"))
    models = (
        OpenAIChatModel(MODEL, provider=openai),
        OpenAIResponsesModel(MODEL, provider=openai),
        OllamaModel(MODEL, provider=OllamaProvider(base_url=f"{URL}/v1")),
        AnthropicModel(MODEL, provider=anthropic),
    )
    for model in models:
        print(type(model).__name__, flush=True)
        assert Agent(model, model_settings={"max_tokens": 40}).run_sync("Say something.").output

        async def streamed(model: object = model) -> str:
            async with Agent(model, model_settings={"max_tokens": 40}).run_stream("Say something.") as result:
                return await result.get_output()

        assert asyncio.run(streamed())
        called = Agent(model, output_type=add, model_settings={"max_tokens": 200}).run_sync("Add true.")
        assert called.output.endswith("added")
    native = Agent(models[0], output_type=NativeOutput(bool), model_settings={"max_tokens": 200})
    assert isinstance(native.run_sync("Is it so?").output, bool)


def smolagents() -> None:
    from smolagents import OpenAIServerModel, tool

    model = OpenAIServerModel(model_id=MODEL, api_base=f"{URL}/v1", api_key="none", max_tokens=200)
    ask = [{"role": "user", "content": [{"type": "text", "text": "Say something."}]}]
    assert model.generate(ask).content is not None
    assert list(model.generate_stream(ask))
    assert model.generate(ask, tools_to_call_from=[tool(add)]).tool_calls[0].function.name == "add"


CLIENTS = (openai_agents, pydantic_ai, smolagents)

if __name__ == "__main__":
    try_all(CLIENTS)
