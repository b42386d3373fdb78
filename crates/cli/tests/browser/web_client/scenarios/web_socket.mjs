// Behaviour over WebSocket only.

import assert from "node:assert/strict";

export async function a_close_is_agreed_to_before_disconnect_resolves(world) {
  const page = await world.open({ appId: world.openApp });
  const closes = await page.run((appId) => {
    const closes = [];
    class Watched extends WebSocket {
      constructor(...given) {
        super(...given);
        this.addEventListener("close", ({ code, wasClean }) => closes.push({ code, wasClean }));
      }
    }
    const chat = new ChatCamp({ appId, webSocket: Watched });
    return chat.connect("clara").then(() => chat.disconnect()).then(() => closes);
  }, world.openApp);
  assert.deepEqual(closes, [{ code: 1000, wasClean: true }]);
}
