// Serves two pages from a separate origin: one with the published SDK as a plain script, and an empty one.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import http from "node:http";

const SDK = {
  file: "node_modules/chatcamp/ChatCamp.min.js",
  bytes: 198_735,
  sha256: "2222a19001ceba3a4034a3cc92b46220b042ff8db18829177914c0b0789cf2d1",
};

const page = (scripts) => `<!doctype html>
<meta charset="utf-8">
<title>A page of a test</title>
<link rel="icon" href="data:,">
${scripts.map((script) => `<script src="${script}"></script>`).join("\n")}
`;

/**
 * Starts the server and returns it. Its address is `url`; `?before=` names a script to load before the SDK. The page at `/empty`
 * has no script.
 */
export async function servePage() {
  const sdk = await unmodifiedSdk();
  const server = http.createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://page");
    const answers = {
      "/": ["text/html; charset=utf-8", page([...searchParams.getAll("before"), "/ChatCamp.min.js"])],
      "/empty": ["text/html; charset=utf-8", page([])],
      "/ChatCamp.min.js": ["text/javascript; charset=utf-8", sdk],
    };
    const [type, body] = answers[pathname] ?? [];
    response.writeHead(body ? 200 : 404, { "content-type": type ?? "text/plain" });
    response.end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

async function unmodifiedSdk() {
  const sdk = await readFile(new URL(SDK.file, import.meta.url));
  const sha256 = createHash("sha256").update(sdk).digest("hex");
  if (sdk.length !== SDK.bytes || sha256 !== SDK.sha256) {
    throw new Error(`${SDK.file} is not the published file: ${sdk.length} bytes, sha256 ${sha256}`);
  }
  return sdk;
}
