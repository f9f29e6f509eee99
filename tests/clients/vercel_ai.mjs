// The AI SDK with three providers, as it is used: node vercel_ai.mjs http://127.0.0.1:8880 tiny
import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, Output, streamText, tool } from "ai";
import { z } from "zod";

const [url, name] = process.argv.slice(2);
const at = { baseURL: `${url}/v1`, apiKey: "none" };
const compatible = createOpenAICompatible({ ...at, name: "axl", includeUsage: true, supportsStructuredOutputs: true });
const models = {
  chat: compatible.chatModel(name),
  responses: createOpenAI(at).responses(name),
  messages: createAnthropic(at)(name),
};
const add = tool({ description: "Adds.", inputSchema: z.object({ a: z.boolean() }), execute: async ({ a }) => `${a}, added` });

for (const [dialect, model] of Object.entries(models)) {
  const ask = { model, prompt: "Say something.", maxOutputTokens: 16, maxRetries: 0 };
  const answer = await generateText(ask);
  assert.ok(answer.usage.outputTokens, dialect);
  const stream = streamText({ ...ask, onError: ({ error }) => assert.fail(error) });
  let streamed = "";
  for await (const part of stream.textStream) streamed += part;
  assert.equal(await stream.text, streamed, dialect);
  assert.ok(await stream.finishReason, dialect);
  const called = await generateText({ ...ask, tools: { add }, toolChoice: "required", maxOutputTokens: 200 });
  assert.equal(called.toolCalls[0].toolName, "add", dialect);
  assert.match(called.toolResults[0].output, /added$/, dialect);
  console.log(`${dialect}: ok`);
}
const schema = z.object({ on: z.boolean() });
const wanted = { model: models.chat, prompt: "Is it on?", maxOutputTokens: 400, maxRetries: 0 };
const { output } = await generateText({ ...wanted, output: Output.object({ schema }) });
assert.equal(typeof output.on, "boolean");
const { embeddings } = await embedMany({ model: compatible.textEmbeddingModel(name), values: ["a", "b"] });
assert.equal(embeddings.length, 2);
console.log("vercel_ai: ok");
