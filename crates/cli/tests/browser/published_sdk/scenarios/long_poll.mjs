// Behaviour over long-poll only.

import assert from "node:assert/strict";
import { DEADLINE_MS, within } from "../../wait.mjs";
import { State } from "../sdk_page.mjs";
import { acks } from "./expect.mjs";

/** The SDK polls again 100 ms after an answer; this is several times that. */
const SEVERAL_GAPS_MS = 1_000;

export async function a_poll_without_messages_is_answered_and_another_follows(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("ida");
  const held = await page.heldPoll();
  const next = page.polls.length;
  assert.deepEqual(await within(DEADLINE_MS, "answer of the held poll", held.answered), { status: 200, body: "[]" });
  const following = await page.polls.at(next);
  assert.deepEqual([following.id, following.target], [held.id, held.target]);

  const { user } = await page.updateDisplayName("Ida");
  assert.equal(user.displayName, "Ida", "the connection is still good");
  assert.deepEqual(await page.changes(), [true]);
}

export async function after_disconnect_the_held_poll_ends_and_none_follows(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("dirk");
  const held = await page.heldPoll();
  const before = page.polls.length;
  await page.disconnect();
  assert.equal(await page.state(), State.CLOSED);
  await within(DEADLINE_MS, "answer of the held poll", held.answered);
  await page.staysQuiet(SEVERAL_GAPS_MS);
  assert.equal(page.polls.length, before);
  assert.deepEqual(await page.changes(), [true, false]);
}

export async function a_connection_cut_under_a_held_poll_goes_unnoticed(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("tilda");
  for (const name of ["Once", "Twice"]) {
    const held = await page.heldPoll();
    const next = page.polls.length;
    page.proxy.cut();
    const repeated = await page.polls.at(next);
    assert.equal(held.answer, null, "it was cut before its answer");
    assert.deepEqual([repeated.id, repeated.target], [held.id, held.target], "the browser repeats it");

    const { error, user } = await page.updateDisplayName(name);
    assert.equal(error, null);
    assert.equal(user.displayName, name, "the repeated poll is the one that is answered");
  }
  assert.deepEqual(await page.changes(), [true], "the SDK knows nothing of it");
  assert.equal(page.attempts.length, 1);
  assert.equal(acks(page.received.entries, "users.auth").length, 1);
}

export async function the_browser_sends_one_preflight_and_not_one_for_every_poll(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("petra");
  for (const name of ["Petra", "Petra P.", "Petra Q."]) {
    const { user } = await page.updateDisplayName(name);
    assert.equal(user.displayName, name);
  }
  assert.ok(page.polls.length >= 4, "a poll brought each answer");
  const methods = page.preflights.entries.map(({ headers }) => headers["access-control-request-method"]);
  assert.deepEqual(methods, ["GET"], "one answer allows all that the SDK sends");
}
