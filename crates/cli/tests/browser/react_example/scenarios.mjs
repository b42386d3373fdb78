// Scenarios of examples/react and of the package that it is built with.

import assert from "node:assert/strict";
import { backend } from "../backend.mjs";

export async function a_page_in_react_connects_shows_events_and_errors_and_disconnects(world) {
  const { page, url } = await world.open();
  assert.notEqual(new URL(url).host, world.server, "the page is of another origin");
  const state = page.getByRole("status");
  const connect = async (id) => {
    await page.getByLabel("User id").fill(id);
    await page.getByRole("button", { name: "Connect", exact: true }).click();
  };
  await connect("rosa");
  await state.getByText("connected", { exact: true }).waitFor();
  await backend(world, "users.publish", { id: "rosa", type: "order.shipped", data: { order: 17 } });
  await page.getByText('order.shipped: {"order":17}').waitFor();
  await page.getByRole("button", { name: "Disconnect" }).click();
  await state.getByText("disconnected", { exact: true }).waitFor();
  assert.equal(await page.getByRole("alert").count(), 0);

  await connect(world.issuedToken.id);
  await page.getByRole("alert").getByText("access token").waitFor();
  await connect("rosa");
  await state.getByText("connected", { exact: true }).waitFor();
  assert.equal(await page.getByRole("alert").count(), 0, "the error is gone");
}

export async function the_package_asks_for_the_url_of_the_server(world) {
  const { packaged } = await world.open();
  const { ChatCamp } = await import(packaged);
  assert.throws(() => new ChatCamp({ appId: "a" }), ({ code, message }) => code === "INVALID_ARGUMENT" && /url: "https:/.test(message));
  new ChatCamp({ appId: "a", url: "https://chat.example" });
}
