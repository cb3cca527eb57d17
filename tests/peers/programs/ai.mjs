// The Vercel ai SDK with @ai-sdk/openai-compatible: writes a line of JSON for each thing that happens.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { jsonSchema, streamText, tool } from "ai";

const [address, key, mode] = process.argv.slice(2);
const say = (value) => console.log(JSON.stringify(value));
const provider = createOpenAICompatible({ name: "line", baseURL: address, apiKey: key });
const abort = new AbortController();
const result = streamText({
  model: provider("m"),
  prompt: "hello and bye",
  maxRetries: 0,
  abortSignal: abort.signal,
  // Without a function to run it, a call is handed over.
  tools: { end_call: tool({ description: "End the telephone call.", inputSchema: jsonSchema({ type: "object" }) }) },
});
let text = "";
const calls = [];
for await (const part of result.fullStream) {
  if (part.type === "text-delta") {
    text += part.text;
    say({ delta: part.text });
    if (mode === "leave") abort.abort();
  } else if (part.type === "tool-call") {
    calls.push({ name: part.toolName, arguments: JSON.stringify(part.input) });
  } else if (part.type === "abort") {
    say({ left: true });
    setInterval(() => {}, 1000);
  } else if (part.type === "error") {
    throw part.error;
  }
}
if (mode !== "leave") say({ text, calls });
