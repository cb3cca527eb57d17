// A model service on Node's own http server. The model's name says what it does: "stream", or "hold" after one word.
import http from "node:http";

const event = (delta, finish_reason = null) =>
  "data: " + JSON.stringify({
    id: "chatcmpl-node", object: "chat.completion.chunk", created: 1700000000, model: "node",
    choices: [{ index: 0, delta, finish_reason }],
  }) + "\n\n";

const server = http.createServer((request, response) => {
  let body = "";
  request.setEncoding("utf8");
  request.on("data", (data) => (body += data));
  request.on("end", () => {
    const { model, messages } = JSON.parse(body);
    console.log("asked " + messages.at(-1).content);
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(event({ role: "assistant", content: "你说" }));
    if (model === "hold") return;
    setTimeout(() => {
      response.write(event({ content: messages.at(-1).content }));
      response.write(event({}, "stop"));
      response.end("data: [DONE]\n\n");
    }, 20);
  });
  response.on("close", () => console.log(response.writableFinished ? "answered" : "left"));
});
server.listen(0, "127.0.0.1", () => console.log("port " + server.address().port + " "));
