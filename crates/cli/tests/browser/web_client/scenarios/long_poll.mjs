// Behaviour over long-poll only.

import assert from "node:assert/strict";

export async function a_transport_that_worked_is_remembered(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("rene");
  assert.equal(page.dials.length, 1, "a WebSocket was tried first");
  await page.loseConnection();
  await page.told("connected", 2);
  assert.equal(page.dials.length, 1, "and then no more");
}

export async function two_users_of_one_page_do_not_wait_for_each_other(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("twin one");
  const { length } = page.emptyPolls;
  const { value } = await page.run((appId) => {
    const other = new ChatCamp({ appId });
    return other.connect("twin two").then(() => outcome(other.request("users.get")));
  }, world.openApp);
  assert.equal(value.user.id, "twin two");
  assert.equal(page.emptyPolls.length, length, "the first user's poll is still held");
}

export async function a_close_is_sent_at_once(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("klaus");
  await page.disconnect();
  assert.deepEqual((await page.closes.at(0)).code, 1000);
}

export async function a_connection_cut_under_a_held_poll_loses_nothing(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("tilda");
  for (const name of ["Once", "Twice"]) {
    page.proxy.cut();
    // The browser repeats the poll. If a POST is cut too, the connection ends and the client reconnects.
    const { value } = await page.request("users.update", { display_name: name });
    assert.equal(value.user.display_name, name);
  }
  await page.reached("connected");
}
