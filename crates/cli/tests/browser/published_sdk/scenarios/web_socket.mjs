// Behaviour over WebSocket only.

import assert from "node:assert/strict";

/** Over long-poll they do wait: a browser sends one request at a time for one URL, from all pages together. */
export async function two_tabs_of_one_user_do_not_wait_for_each_other(world) {
  const first = await world.open({ appId: world.openApp });
  await first.connect("tabea");
  await first.idle();
  const second = await world.open({ appId: world.openApp, beside: first });
  const { error } = await second.connect("tabea");
  assert.equal(error, null);
  for (const [page, name] of [[first, "Tabea"], [second, "Tabea T."]]) {
    const { user } = await page.updateDisplayName(name);
    assert.equal(user.displayName, name);
  }
}
