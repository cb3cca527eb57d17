// Node's own fetch: writes what its reader gives; with "abort", aborts after the first bytes that hold a word.
const [address, key, mode] = process.argv.slice(2);
const controller = new AbortController();
const response = await fetch(address + "/chat/completions", {
  method: "POST",
  headers: { "content-type": "application/json", authorization: "Bearer " + key },
  body: JSON.stringify({ model: "m", stream: true, messages: [{ role: "user", content: "hello" }] }),
  signal: controller.signal,
});
try {
  let text = "";
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    process.stdout.write(value);
    text += Buffer.from(value).toString("utf8");
    if (mode === "abort" && text.includes('"content"')) controller.abort();
  }
} catch (error) {
  if (error.name !== "AbortError") throw error;
  console.log("aborted");
}
