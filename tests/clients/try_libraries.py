"""Each client does what it does in normal use, against the server whose address is the first argument.

Runs in the environment of libraries.txt, where AXL is not: `python try_libraries.py http://127.0.0.1:8880 tiny [name]`.
Prints a line for each client and exits with 1 when one failed.
"""

import os
import sys

from trying import try_all

os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "OPENAI_API_KEY": "none"}
URL, MODEL = sys.argv[1], sys.argv[2]
TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds.",
        "parameters": {"type": "object", "properties": {"a": {"type": "boolean"}}},
    },
}
GO_ON = {"257": -100}  # no end of text, whatever the model
ASK = [{"role": "user", "content": "Say something."}]


def openai_2() -> None:
    import openai

    client = openai.OpenAI(base_url=f"{URL}/v1")
    assert openai.__version__.startswith("2."), openai.__version__
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).id == MODEL
    assert client.completions.create(model=MODEL, prompt="def f(", max_tokens=8).usage.completion_tokens
    assert client.completions.create(model=MODEL, prompt="def f(", suffix="\n", max_tokens=8).choices[0].finish_reason
    assert list(client.completions.create(model=MODEL, prompt="x", max_tokens=8, stream=True))
    answer = client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=8, logprobs=True, logit_bias=GO_ON)
    assert answer.choices[0].logprobs.content
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=ASK, max_tokens=8, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].usage.completion_tokens
    called = client.chat.completions.create(model=MODEL, messages=ASK, tools=[TOOL], tool_choice="required", max_tokens=200)
    assert called.choices[0].message.tool_calls[0].function.name == "add"
    assert len(client.embeddings.create(model=MODEL, input=["a", "b"]).data) == 2
    assert client.responses.create(model=MODEL, input="Say something.", max_output_tokens=16).output
    assert [event.type for event in client.responses.create(model=MODEL, input="x", max_output_tokens=16, stream=True)]


def ollama() -> None:
    import ollama

    client = ollama.Client(URL)
    assert client.list().models
    assert client.show(MODEL).details.family
    assert client.generate(MODEL, "def f(", suffix="\n", options={"num_predict": 8}).response is not None
    assert list(client.chat(MODEL, ASK, stream=True, options={"num_predict": 8}))[-1].done
    assert client.chat(MODEL, ASK, tools=[TOOL], options={"num_predict": 8}).message.role == "assistant"
    assert client.embed(MODEL, ["a", "b"]).embeddings
    assert client.ps().models


def langchain_openai() -> None:
    from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

    complete = OpenAI(base_url=f"{URL}/v1", model=MODEL, max_tokens=8)
    assert isinstance(complete.invoke("def f("), str)
    assert list(complete.stream("def f("))
    assert len(complete.batch(["a", "b"])) == 2
    chat = ChatOpenAI(base_url=f"{URL}/v1", model=MODEL, max_tokens=8)
    assert chat.invoke("Hi").usage_metadata["output_tokens"]
    assert list(chat.stream("Hi"))
    tools = ChatOpenAI(base_url=f"{URL}/v1", model=MODEL, max_tokens=200).bind_tools([TOOL], tool_choice="add")
    assert tools.invoke("Hi").tool_calls[0]["name"] == "add"
    embeddings = OpenAIEmbeddings(base_url=f"{URL}/v1", model=MODEL, check_embedding_ctx_length=False)
    assert len(embeddings.embed_documents(["a", "b"])) == 2


def langchain_ollama() -> None:
    from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM

    assert isinstance(OllamaLLM(base_url=URL, model=MODEL, num_predict=8).invoke("def f("), str)
    assert list(OllamaLLM(base_url=URL, model=MODEL, num_predict=8).stream("def f("))
    chat = ChatOllama(base_url=URL, model=MODEL, num_predict=8, validate_model_on_init=True)
    assert chat.invoke("Hi").response_metadata["done_reason"]
    assert list(chat.stream("Hi"))
    assert len(OllamaEmbeddings(base_url=URL, model=MODEL).embed_query("a"))


def llama_index_openai_like() -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai_like import OpenAILike

    complete = OpenAILike(api_base=f"{URL}/v1", api_key="none", model=MODEL, max_tokens=8, context_window=512)
    assert complete.complete("def f(").text is not None
    assert list(complete.stream_complete("def f("))
    chat = OpenAILike(api_base=f"{URL}/v1", api_key="none", model=MODEL, max_tokens=8, is_chat_model=True)
    assert chat.chat([ChatMessage(role="user", content="Hi")]).message
    assert list(chat.stream_chat([ChatMessage(role="user", content="Hi")]))


def llama_index_ollama() -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.ollama import Ollama

    llm = Ollama(base_url=URL, model=MODEL, request_timeout=60, additional_kwargs={"num_predict": 8})
    assert llm.complete("def f(").text is not None
    assert llm.chat([ChatMessage(role="user", content="Hi")]).message
    assert list(llm.stream_chat([ChatMessage(role="user", content="Hi")]))


def litellm() -> None:
    import litellm

    openai = {"api_base": f"{URL}/v1", "api_key": "none", "max_tokens": 8}
    assert litellm.completion(model=f"openai/{MODEL}", messages=ASK, **openai).choices
    assert list(litellm.completion(model=f"openai/{MODEL}", messages=ASK, stream=True, **openai))
    assert litellm.text_completion(model=f"text-completion-openai/{MODEL}", prompt="def f(", **openai).choices
    assert litellm.embedding(model=f"openai/{MODEL}", input=["a"], api_base=f"{URL}/v1", api_key="none").data
    assert litellm.completion(model=f"ollama/{MODEL}", messages=ASK, api_base=URL, max_tokens=8).choices
    assert litellm.completion(model=f"ollama_chat/{MODEL}", messages=ASK, api_base=URL, max_tokens=8).choices


def anthropic() -> None:
    import anthropic

    client = anthropic.Anthropic(base_url=URL, api_key="none")
    message = {"model": MODEL, "messages": ASK, "max_tokens": 8}
    assert client.messages.create(**message).usage.output_tokens
    assert client.messages.count_tokens(model=MODEL, messages=ASK).input_tokens > len("Say something.")
    with client.messages.stream(**message) as stream:
        text = "".join(stream.text_stream)
        assert "".join(block.text for block in stream.get_final_message().content) == text
    add = {"name": "add", "description": "Adds.", "input_schema": TOOL["function"]["parameters"]}
    calling = message | {"tools": [add], "tool_choice": {"type": "any"}, "max_tokens": 200}
    called = client.messages.create(**calling)
    assert called.stop_reason == "tool_use"
    assert called.content[-1].name == "add"
    with client.messages.stream(**calling) as stream:
        assert stream.get_final_message().content[-1].input == called.content[-1].input


def langchain_anthropic() -> None:
    from langchain_anthropic import ChatAnthropic

    chat = ChatAnthropic(base_url=URL, api_key="none", model=MODEL, max_tokens=200)
    assert chat.invoke("Hi").usage_metadata["output_tokens"]
    assert list(chat.stream("Hi"))
    assert chat.bind_tools([TOOL], tool_choice="add").invoke("Hi").tool_calls[0]["name"] == "add"


def instructor() -> None:
    import instructor
    import openai
    from pydantic import BaseModel, ConfigDict

    class Switch(BaseModel):
        model_config = ConfigDict(extra="forbid")  # else a model without training goes on with properties of its own
        on: bool

    for mode in (instructor.Mode.JSON_SCHEMA, instructor.Mode.TOOLS):
        client = instructor.from_openai(openai.OpenAI(base_url=f"{URL}/v1"), mode=mode)
        answer = client.chat.completions.create(model=MODEL, messages=ASK, response_model=Switch, max_tokens=200)
        assert isinstance(answer.on, bool)


CLIENTS = (
    openai_2,
    ollama,
    langchain_openai,
    langchain_ollama,
    llama_index_openai_like,
    llama_index_ollama,
    litellm,
    anthropic,
    langchain_anthropic,
    instructor,
)

if __name__ == "__main__":
    try_all(CLIENTS)
