// The openai package: writes a line of JSON for each thing that happens.
import OpenAI from "openai";

const [address, key, mode] = process.argv.slice(2);
const say = (value) => console.log(JSON.stringify(value));
const client = new OpenAI({ baseURL: address, apiKey: key, maxRetries: 0 });
const messages = [{ role: "user", content: "hello and bye" }];
try {
  if (mode === "models") {
    say({ models: (await client.models.list()).data.map((model) => model.id) });
  } else if (mode === "whole") {
    const completion = await client.chat.completions.create({ model: "m", messages });
    const { message, finish_reason } = completion.choices[0];
    say({ text: message.content, calls: message.tool_calls.map((call) => call.function), finish_reason });
  } else {
    const stream = await client.chat.completions.create({
      model: "m", messages, stream: true, stream_options: { include_usage: true },
    });
    let text = "", finish = null, usage = null, calls = [];
    for await (const chunk of stream) {
      usage = chunk.usage ?? usage;
      if (!chunk.choices.length) continue;
      const { delta, finish_reason } = chunk.choices[0];
      finish = finish_reason ?? finish;
      for (const call of delta.tool_calls ?? []) calls.push(call.function);
      if (delta.content) {
        text += delta.content;
        say({ delta: delta.content });
        if (mode === "abort") stream.controller.abort();
      }
    }
    say({ text, calls, finish_reason: finish, usage: usage !== null });
  }
} catch (error) {
  say({ error: error.constructor.name, status: error.status, code: error.code });
}
