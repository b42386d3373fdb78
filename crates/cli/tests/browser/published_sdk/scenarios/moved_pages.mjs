// Pages written for the hosted service, which pass no host and use an app id of that service.

import assert from "node:assert/strict";
import { acks, target } from "./expect.mjs";

export async function a_page_that_names_no_host_connects_through_the_compat_script(world) {
  const page = await world.open({ appId: world.openApp, hosted: true });
  const { error, user } = await page.connect("hanna");
  assert.equal(error, null);
  assert.equal(user.id, "hanna");
  const named = await page.updateDisplayName("Hanna");
  assert.equal(named.user.displayName, "Hanna", "messages pass both ways");

  await page.loseConnection();
  await page.changed(3);
  const [{ d }] = acks(page.received.entries, "users.auth");
  assert.deepEqual(page.attempts.entries, [
    target({ app_id: world.openApp, user_id: "hanna" }),
    target({ session_key: d.session_key }),
  ]);
}

export async function a_page_that_names_no_host_presents_its_token(world) {
  const { app, id, token } = world.ownToken;
  const page = await world.open({ appId: app, hosted: true });
  const { error, user } = await page.connectWithToken(id, token);
  assert.equal(error, null);
  assert.equal(user.id, id);
  assert.equal(user.accessToken, token);
}

export async function a_page_that_extends_wrapped_classes_keeps_its_classes(world) {
  const page = await world.open({ appId: world.openApp, hosted: true });
  const seen = await page.page.evaluate(() => {
    const hosted = "wss://api.chatcamp.io/elsewhere?a=b";
    class Socket extends WebSocket {
      get isOwn() {
        return true;
      }
    }
    function Old(...given) {
      return Reflect.construct(WebSocket, given, new.target);
    }
    Object.setPrototypeOf(Old.prototype, WebSocket.prototype);
    class Request extends XMLHttpRequest {
      open(method, url) {
        super.open(method, url);
        this.opened = url;
      }
    }
    const [socket, old, plain] = [new Socket(hosted), new Old(hosted), new WebSocket(hosted)];
    const request = new Request();
    request.open("GET", "https://api.chatcamp.io/elsewhere");
    const thrown = (act) => {
      try {
        return String(act());
      } catch ({ name }) {
        return name;
      }
    };
    const outcome = {
      isOwn: socket.isOwn,
      isSocket: socket instanceof Socket && socket instanceof WebSocket,
      isOld: old instanceof Old,
      urls: [socket.url, old.url, plain.url].map((url) => new URL(url).host),
      opened: [request.opened, request.readyState],
      constants: [Socket.OPEN, WebSocket.OPEN],
      errors: [thrown(() => new WebSocket()), thrown(() => new WebSocket("http://[")), thrown(() => request.open("GET", "http://["))],
    };
    for (const each of [socket, old, plain]) each.close();
    return outcome;
  });
  const here = `127.0.0.1:${page.proxy.port}`;
  assert.deepEqual(seen, {
    isOwn: true,
    isSocket: true,
    isOld: true,
    urls: [here, here, here],
    opened: ["https://api.chatcamp.io/elsewhere", 1],
    constants: [1, 1],
    errors: ["TypeError", "SyntaxError", "SyntaxError"],
  });
}

export async function keeps_a_19_digit_app_id_quoted_or_as_a_number(world) {
  const [{ app: quoted, id, token }] = world.movedUsers;
  assert.match(quoted, /^\d{19}$/);
  const asNumber = Number(quoted);
  assert.notEqual(String(asNumber), quoted, "JavaScript rounds it");

  for (const appId of [quoted, asNumber]) {
    const page = await world.open({ appId });
    const { error, user } = await page.connectWithToken(id, token);
    assert.equal(error, null, `app id ${appId} is known`);
    assert.equal(user.accessToken, token, "it is the app of this user");
    assert.deepEqual(page.attempts.entries, [target({ app_id: appId, user_id: id, access_token: token })]);
  }
}
