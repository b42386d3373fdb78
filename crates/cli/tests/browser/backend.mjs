// What an app's backend asks the server by its Platform API.

import assert from "node:assert/strict";

/** Calls a method for the app of this key; its answer. */
export async function backend({ server, apiKey }, method, body) {
  const answer = await fetch(`http://${server}/api/2.0/${method}`, {
    method: "POST",
    headers: { "x-api-key": apiKey, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const said = await answer.json();
  assert.equal(said.ok, true, `${method}: ${JSON.stringify(said.error)}`);
  return said;
}
