// The stream helper of the openai package with a tool: writes a line of JSON for each thing that happens.
import OpenAI from "openai";

const [address, key, mode] = process.argv.slice(2);
const say = (value) => console.log(JSON.stringify(value));
const client = new OpenAI({ baseURL: address, apiKey: key, maxRetries: 0 });
const stream = client.chat.completions.stream({
  model: "m",
  messages: [{ role: "user", content: "hello and bye" }],
  tools: [{ type: "function", function: { name: "end_call", parameters: { type: "object", properties: {} } } }],
});
stream.on("content", (delta) => {
  say({ delta });
  if (mode === "leave") stream.abort();
});
try {
  const { message } = (await stream.finalChatCompletion()).choices[0];
  const calls = message.tool_calls.map(({ function: { name, arguments: words } }) => ({ name, arguments: words }));
  say({ text: message.content, calls });
} catch (error) {
  if (!(error instanceof OpenAI.APIUserAbortError)) throw error;
  say({ left: true });
  setInterval(() => {}, 1000);
}
