// Calls the Platform API as the backend of an app does.

import assert from "node:assert/strict";

/** Calls a method for the app of this key and returns the response. */
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
