// The scenarios of a server under a path. The proxy removes the path, and the server does not know it.

import { Admin } from "../dashboard/admin.mjs";
import { SdkPage } from "../published_sdk/sdk_page.mjs";
import { Proxy } from "../proxy.mjs";
import { TryPage } from "../try_page/try_page.mjs";
import { ClientPage } from "../web_client/client_page.mjs";
import * as scenarios from "./scenarios.mjs";

export const SCENARIOS = { long_poll: scenarios, web_socket: scenarios };

const PAGES = { dashboard: Admin, try: TryPage, client: ClientPage, sdk: SdkPage };
const PREFIX = "/talk";

/** Opens a page of this kind. Those of the server itself get a proxy here; the others start their own. */
export async function open(world, { kind, server = world.server, ...options }) {
  const Page = PAGES[kind];
  if (Page === ClientPage || Page === SdkPage) return Page.open({ ...world, server, prefix: PREFIX }, options);
  const proxy = options.proxy ?? await Proxy.start(server, { upgrades: true, prefix: PREFIX });
  const page = await Page.open({ ...world, server: `127.0.0.1:${proxy.port}`, prefix: PREFIX }, options);
  page.proxy = proxy;
  const close = page.close.bind(page);
  page.close = async () => {
    await close();
    proxy.close();
  };
  return page;
}
